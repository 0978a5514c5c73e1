use std::convert::Infallible;

use tokio::sync::{mpsc, oneshot};

use super::*;

/// A handler that tells of each write, and answers when it is told to.
#[derive(Clone)]
struct Handler {
    begun: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

impl Service<Request<()>> for Handler {
    type Response = Response<Vec<u8>>;
    type Error = Infallible;
    type Future = Answering<Vec<u8>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let (finish, finished) = oneshot::channel();
        self.begun.send(finish).unwrap();
        Box::pin(async move {
            finished.await.unwrap();
            Ok(Response::new(b"written".to_vec()))
        })
    }
}

struct Guarded {
    service: Fenced<Handler>,
    begun: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
}

fn guarded(missing: Missing) -> Guarded {
    let layer = FenceLayer::new(Arc::new(Gate::new(10))).missing(missing);
    let (sender, begun) = mpsc::unbounded_channel();
    let service = layer.layer(Handler { begun: sender });
    Guarded { service, begun }
}

fn request(method: Method, fences: &[&str]) -> Request<()> {
    let mut request = Request::builder().method(method).uri("/invoices/7?x=1");
    for fence in fences {
        request = request.header("Lockring-Fence", *fence);
    }
    request.body(()).unwrap()
}

impl Guarded {
    fn start(&mut self, request: Request<()>) -> Answering<Vec<u8>, Infallible> {
        self.service.call(request)
    }

    /// The answer of a request whose handler is let through at once.
    async fn ask(&mut self, request: Request<()>) -> Response<Vec<u8>> {
        let mut answering = self.start(request);
        let begun = self.begun.recv();
        tokio::select! {
            biased;
            answer = &mut answering => answer.unwrap(),
            finish = begun => {
                finish.unwrap().send(()).unwrap();
                answering.await.unwrap()
            }
        }
    }
}

fn problem(response: &Response<Vec<u8>>) -> Problem {
    let kind = &response.headers()[header::CONTENT_TYPE];
    assert_eq!(kind, "application/problem+json");
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test]
async fn a_stale_fence_is_answered_with_412_and_what_is_in_force() {
    let mut guarded = guarded(Missing::Refuse);
    for fence in ["7", "7", "9"] {
        let answer = guarded.ask(request(Method::PUT, &[fence])).await;
        assert_eq!(answer.status(), 200, "{fence}");
    }
    for method in [Method::PUT, Method::GET] {
        let answer = guarded.ask(request(method, &["8"])).await;
        assert_eq!(answer.status(), 412);
        let problem = problem(&answer);
        assert_eq!(problem.code, ErrorCode::FenceStale);
        assert_eq!(problem.certainty, Certainty::NoEffect);
        assert_eq!(problem.highest_fence, Some(Some(9)));
    }
}

#[tokio::test]
async fn what_brings_no_fence_passes_if_it_is_safe_or_allowed_to() {
    let mut strict = guarded(Missing::Refuse);
    assert_eq!(strict.ask(request(Method::GET, &[])).await.status(), 200);
    let refused = strict.ask(request(Method::DELETE, &[])).await;
    assert_eq!(refused.status(), 422);
    assert_eq!(problem(&refused).field.as_deref(), Some("lockring-fence"));
    let mut lenient = guarded(Missing::Pass);
    assert_eq!(lenient.ask(request(Method::PUT, &[])).await.status(), 200);
}

#[tokio::test]
async fn what_is_no_fence_is_told_so() {
    let mut guarded = guarded(Missing::Pass);
    for fence in ["", "x", "-1", "+1", "1.0", "18446744073709551616"] {
        let answer = guarded.ask(request(Method::PUT, &[fence])).await;
        assert_eq!(answer.status(), 422, "{fence}");
        assert_eq!(problem(&answer).value.as_deref(), Some(fence));
    }
    let two = guarded.ask(request(Method::PUT, &["1", "2"])).await;
    assert_eq!(two.status(), 422);
    let most = guarded.ask(request(Method::PUT, &["18446744073709551615"]));
    assert_eq!(most.await.status(), 200);
}

#[tokio::test]
async fn a_write_in_flight_is_ended_before_a_newer_one_begins() {
    let mut guarded = guarded(Missing::Refuse);
    let older = tokio::spawn(guarded.start(request(Method::PUT, &["7"])));
    let finish_older = guarded.begun.recv().await.unwrap();
    let newer = tokio::spawn(guarded.start(request(Method::PUT, &["8"])));
    let finish_newer = guarded.begun.recv().await.unwrap();
    assert!(
        finish_older.is_closed(),
        "both handlers ran at the same time"
    );
    let ended = older.await.unwrap().unwrap();
    assert_eq!(ended.status(), 412);
    assert_eq!(problem(&ended).certainty, Certainty::Unknown);
    finish_newer.send(()).unwrap();
    assert_eq!(newer.await.unwrap().unwrap().status(), 200);
}
