//! The OpenAPI document against the node that serves it.

use std::collections::BTreeSet;

use super::node::Node;

/// What a template's parameter is filled with.
fn fill(path: &str) -> String {
    let session = "0".repeat(32);
    match path.starts_with("/v1/sessions") {
        true => path.replace("{id}", &session),
        false => path
            .replace("{id}", "9")
            .replace("{name}", "a%2Fb")
            .replace("{ring}", "r")
            .replace("{member}", "m"),
    }
}

#[tokio::test]
async fn the_document_and_the_router_know_the_same_calls() {
    let node = Node::alone().await;
    let document = node.get("/openapi.json").await.success(200);
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 15, "{}", paths.len());
    for (path, methods) in paths {
        let described: BTreeSet<String> = methods
            .as_object()
            .unwrap()
            .keys()
            .map(|method| method.to_ascii_uppercase())
            .collect();
        let answer = node.call("OPTIONS", &fill(path), "").await;
        assert_eq!(answer.status, 204, "{path}");
        let allow = answer.header("allow").unwrap();
        let served: BTreeSet<String> = allow
            .split(", ")
            .filter(|method| !["HEAD", "OPTIONS"].contains(method))
            .map(str::to_owned)
            .collect();
        assert_eq!(described, served, "{path}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_call_answers_only_as_the_document_says() {
    let node = Node::alone().await;
    let document = node.get("/openapi.json").await.success(200);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, call) in methods.as_object().unwrap() {
            let method = method.to_ascii_uppercase();
            let answers = call["responses"].as_object().unwrap();
            // A stream does not end; its head is what it answers with.
            let streams = answers
                .get("200")
                .is_some_and(|success| !success["content"]["text/event-stream"].is_null());
            let method = if streams { "HEAD".to_owned() } else { method };
            for body in ["", "[]", "{"] {
                let body = if matches!(&*method, "GET" | "HEAD") {
                    ""
                } else {
                    body
                };
                let answer = node.call(&method, &fill(path), body).await;
                let status = answer.status.to_string();
                let said = answers.get(&status);
                let said = said.unwrap_or_else(|| panic!("{method} {path}: {answer:?}"));
                let kind = answer.header("content-type").unwrap();
                let kind = kind.split(';').next().unwrap();
                assert!(
                    said["content"].get(kind).is_some(),
                    "{method} {path}: {kind}"
                );
            }
        }
    }
    node.stop().await;
}

#[tokio::test]
async fn the_pages_for_people_need_nothing_but_the_node() {
    let node = Node::alone().await;
    for (path, asks) in [("/docs", "/openapi.json"), ("/ui", "/v1/locks")] {
        let page = node.get(path).await;
        assert_eq!(page.status, 200);
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert!(page.body.contains(asks));
        for foreign in ["http://", "https://", "src="] {
            assert!(!page.body.contains(foreign), "{path}: {foreign}");
        }
    }
    node.stop().await;
}
