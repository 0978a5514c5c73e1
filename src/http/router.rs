//! Finds the call that a method and a path mean.

use axum::extract::Request;
use axum::http::header::ALLOW;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use axum::{Router, body::Body};

use super::Api;
use super::calls::Call;
use super::error::Failure;

impl Api {
    /// A router over the table of calls. Made once, for it costs; cloning it does not.
    pub(super) fn router(&self) -> Router {
        let mut router = Router::new();
        for call in Call::ALL {
            let spec = call.spec();
            let method = MethodFilter::try_from(spec.method).expect("the table has usual methods");
            let api = self.clone();
            let handler = move |request: Request| async move { api.answer(call, request).await };
            router = router.route(spec.path, on(method, handler));
        }
        let (no_route, no_method) = (self.clone(), self.clone());
        router
            .fallback(move |request: Request| async move { no_route.no_route(&request) })
            .method_not_allowed_fallback(move |request: Request| async move {
                no_method.no_method(&request)
            })
    }

    fn no_route(&self, request: &Request) -> Response {
        self.respond(Err(Failure::NoRoute(request.uri().path().to_owned())))
    }

    /// `OPTIONS` asks what a path takes; every other method that it does not take is told.
    fn no_method(&self, request: &Request) -> Response {
        let Some(allow) = Call::allow(request.uri().path()) else {
            return self.no_route(request);
        };
        if request.method() == Method::OPTIONS {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            let allow = HeaderValue::try_from(allow).expect("methods are visible characters");
            response.headers_mut().insert(ALLOW, allow);
            return response;
        }
        let method = request.method().to_string();
        self.respond(Err(Failure::MethodNotAllowed { method, allow }))
    }
}
