use std::path::Path;

use super::*;

const SMALLEST: &str = r#"
[cluster]
id = "test"
members = [
    { id = 2, api = "http://127.0.0.1:7430/", peer = "127.0.0.1:7431" },
    { id = 1, api = "http://127.0.0.1:7420", peer = "127.0.0.1:7421" },
]
[node]
id = 1
data_dir = "data"
"#;

fn resolve(text: &str) -> Result<Config, ConfigError> {
    Draft::parse(Path::new("node.toml"), text)?.resolve()
}

fn error(text: &str) -> String {
    resolve(text).expect_err("must be refused").to_string()
}

#[test]
fn the_rest_has_defaults_and_members_are_put_in_order() {
    let config = resolve(SMALLEST).unwrap();
    let ids: Vec<_> = config.cluster.members.iter().map(|m| m.id).collect();
    assert_eq!(ids, [1, 2]);
    assert_eq!(config.cluster.members[1].api, "http://127.0.0.1:7430");
    assert_eq!(config.node.api_listen.to_string(), "127.0.0.1:7420");
    assert_eq!(config.node.peer_listen.to_string(), "127.0.0.1:7421");
    assert_eq!(config.cluster.election_min.as_millis(), 300);
    assert_eq!(config.cluster.election_max.as_millis(), 600);
}

#[test]
fn no_lock_keeps_more_of_the_history_than_there_is() {
    let kept = |section: &str| resolve(&format!("{SMALLEST}[history]\n{section}"));
    let history = kept("events_max = 5000").unwrap().node.history;
    assert_eq!(
        (history.lock_events_max, history.hours_max),
        (1_000, 7 * 24)
    );
    let refused = kept("events_max = 5000\nlock_events_max = 5001").unwrap_err();
    let wanted = "`history.lock_events_max` is 5001, from 1 to 5000";
    assert!(refused.to_string().contains(wanted), "{refused}");
}

#[test]
fn an_error_names_line_key_value_and_bound() {
    let text = SMALLEST.replace("[node]", "heartbeat_ms = 5\n[node]");
    let wanted = "node.toml:8: `cluster.heartbeat_ms` is 5, from 10 to 10000";
    assert_eq!(error(&text), wanted);
    let text = SMALLEST.replace("id = 1\n", "id = 1\ncolour = 3\n");
    let refused = error(&text);
    assert!(refused.contains("line 10"), "{refused}");
    assert!(refused.contains("unknown field `colour`"), "{refused}");
    let text = SMALLEST.replace("data_dir = \"data\"", "");
    assert!(error(&text).contains("`node.data_dir` is not said"));
}

#[test]
fn a_flag_wins_over_the_file_and_is_named_as_one() {
    let mut draft = Draft::parse(Path::new("node.toml"), SMALLEST).unwrap();
    draft.node.api_listen = Some(Given::by_flag("127.0.0.1:1".to_owned()));
    assert_eq!(draft.resolve().unwrap().node.api_listen.port(), 1);
    draft.node.api_listen = Some(Given::by_flag("nowhere".to_owned()));
    let refused = draft.resolve().expect_err("must be refused").to_string();
    assert_eq!(
        refused,
        "flag: `node.api_listen` is `nowhere`, wants IP:PORT"
    );
}

#[test]
fn an_open_door_is_refused_unless_locked_or_insisted_on() {
    let open = SMALLEST.replace(
        "id = 1\ndata",
        "id = 1\napi_listen = \"0.0.0.0:7420\"\ndata",
    );
    assert!(error(&open).starts_with("node.toml:10: `node.api_listen` is 0.0.0.0:7420, which is"));
    let insisted = open.replace("data_dir", "insecure = true\ndata_dir");
    assert!(resolve(&insisted).is_ok());
    let tls = "[tls]\ncertificate = 'c'\nkey = 'k'\nauthority = 'a'\n";
    assert!(error(&format!("{open}{tls}")).contains("beyond loopback"));
    let token = format!(
        "[[tokens]]\nname = 'ci'\nsha256 = '{}'\npermissions = ['read', 'lock']\n",
        "0f".repeat(32)
    );
    let locked = resolve(&format!("{open}{tls}{token}")).unwrap();
    assert_eq!(locked.node.tokens[0].sha256, [0x0f; 32]);
    let short = token.replace("0f0f", "0f");
    assert!(error(&format!("{open}{tls}{short}")).contains("wants 64 hexadecimal digits"));
}

#[test]
fn the_fingerprint_is_of_what_must_be_equal_and_of_nothing_else() {
    let one = resolve(SMALLEST).unwrap();
    let other = SMALLEST.replace("[node]\nid = 1", "[node]\nworkers = 2\nid = 2");
    let other = resolve(&other).unwrap();
    assert_eq!(one.cluster.fingerprint(), other.cluster.fingerprint());
    assert_eq!(
        one.cluster.fingerprint(),
        3_465_031_066_062_793_804,
        "changes only with the text's format"
    );
    for change in [
        "ttl_ms_max = 1000000",
        "heartbeat_ms = 99",
        "election_ms_max = 700",
    ] {
        let changed = resolve(&SMALLEST.replace("[node]", &format!("{change}\n[node]"))).unwrap();
        assert_ne!(
            one.cluster.fingerprint(),
            changed.cluster.fingerprint(),
            "{change}"
        );
    }
    let moved = resolve(&SMALLEST.replace("7431", "7432")).unwrap();
    assert_ne!(one.cluster.fingerprint(), moved.cluster.fingerprint());
}

#[test]
fn members_are_checked() {
    let member: Member = "3=http://[::1]:80,node-3.example:7421".parse().unwrap();
    assert_eq!(
        (member.id, member.peer.as_str()),
        (3, "node-3.example:7421")
    );
    for (text, wrong) in [
        ("3", "wants ID=API,PEER"),
        ("0=http://a:1,b:2", "the id 0"),
        ("1=a:1,b:2", "the api address `a:1`"),
        ("1=http://a/x:1,b:2", "the api address"),
        ("1=http://a:1,b", "the peer address `b`"),
        ("1=http://a:1,b:0", "the peer address `b:0`"),
    ] {
        let refused = text.parse::<Member>().expect_err(text).to_string();
        assert!(refused.contains(wrong), "{text}: {refused}");
    }
    let twice = SMALLEST.replace("id = 2", "id = 1");
    assert!(error(&twice).contains("names an id or a peer address twice"));
}

#[test]
fn detours_are_addresses_on_both_sides() {
    let said = |dial: &str| SMALLEST.replace("[node]", &format!("[node]\ndial = {dial}"));
    let config = resolve(&said(r#"{ "127.0.0.1:7431" = "tunnel:9000" }"#)).unwrap();
    assert_eq!(config.node.dial["127.0.0.1:7431"], "tunnel:9000");
    let refused = error(&said(r#"{ "127.0.0.1:7431" = "tunnel" }"#));
    assert!(
        refused.contains("`node.dial` names `tunnel`, wants HOST:PORT"),
        "{refused}"
    );
}
