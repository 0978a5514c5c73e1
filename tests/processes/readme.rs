//! The `curl` lines of the README, verbatim but for the ports, against a cluster.

use std::process::Command;

use crate::three_nodes;

const README: &str = include_str!("../../README.md");

/// The blocks of shell in it that talk to the cluster.
fn blocks() -> Vec<&'static str> {
    let code = README.split("```").skip(1).step_by(2);
    let shell = code.filter_map(|block| block.strip_prefix("sh\n"));
    shell.filter(|block| block.contains("curl -s")).collect()
}

#[tokio::test]
async fn the_curl_lines_of_the_readme_do_what_it_says() {
    let cluster = three_nodes().await;
    let run = |block: &str| {
        let mut script = block.to_owned();
        for (id, default) in [(1, "7420"), (2, "7430"), (3, "7440")] {
            let api = cluster.api(id);
            script = script.replace(&format!("127.0.0.1:{default}"), api.address());
        }
        let ran = Command::new("sh").args(["-euc", &script]).output().unwrap();
        let said = String::from_utf8(ran.stdout).unwrap();
        assert!(ran.status.success(), "{said}\n{script}");
        said
    };
    let [first, second] = blocks()[..] else {
        panic!(
            "the README has {} blocks of curl lines, not two",
            blocks().len()
        );
    };
    let said = run(first);
    for wanted in [r#""fence":1,"#, r#""state":"held""#, r#""code":"held""#] {
        assert!(said.contains(wanted), "no {wanted} in {said}");
    }
    let said = run(second);
    for wanted in [
        r#""fence":3,"#,
        r#""leases_total":2"#,
        r#""lock":"scanner","fence":3}]"#,
    ] {
        assert!(said.contains(wanted), "no {wanted} in {said}");
    }
}
