//! What clients ask about the server: `INFO`, `CONFIG GET`, `COMMAND`.

use std::fmt::Write;

use super::connection::REDIS_VERSION;
use super::glob;
use super::{Effect, Keys, Spec, TABLE, Turn, find};
use crate::cache::client::Door;
use crate::cache::resp::{Args, BULK_BYTES_MAX};

impl Turn<'_> {
    pub(super) fn info(&mut self, args: Args<'_>) {
        let asked: Vec<_> = args
            .from(1)
            .iter()
            .map(<[u8]>::to_ascii_lowercase)
            .collect();
        let all = asked
            .iter()
            .any(|name| matches!(name.as_slice(), b"all" | b"everything" | b"default"));
        let mut text = String::new();
        for (section, lines) in self.info_sections() {
            let lower = section.to_ascii_lowercase();
            if asked.is_empty() || all || asked.contains(&lower.into_bytes()) {
                if !text.is_empty() {
                    text.push_str("\r\n");
                }
                write!(text, "# {section}\r\n{lines}").expect("a String takes what is written");
            }
        }
        self.replies().text(&text);
    }

    fn info_sections(&self) -> [(&'static str, String); 7] {
        let (store, figures) = (&self.node.store, &self.node.figures);
        let clustered = self.client.door != Door::Proxy;
        let mode = if clustered { "cluster" } else { "standalone" };
        let tally = self.node.tally();
        let keys = store.keys();
        let server = lines(&[
            ("redis_version", &REDIS_VERSION),
            ("server_name", &"lockring"),
            ("lockring_version", &env!("CARGO_PKG_VERSION")),
            ("redis_mode", &mode),
            ("process_id", &std::process::id()),
            ("run_id", &self.view.my_id()),
            ("uptime_in_seconds", &self.node.started.elapsed().as_secs()),
        ]);
        let clients = lines(&[("connected_clients", &figures.clients())]);
        let memory = lines(&[
            ("used_memory", &store.bytes()),
            ("maxmemory", &store.bytes_max()),
            ("maxmemory_policy", &"allkeys-s3fifo"),
        ]);
        let persistence = lines(&[("loading", &0)]);
        let stats = lines(&[
            ("total_connections_received", &figures.connections()),
            ("total_commands_processed", &figures.commands()),
            ("keyspace_hits", &tally.hits),
            ("keyspace_misses", &tally.misses),
            ("evicted_keys", &tally.evictions),
            ("expired_keys", &tally.expiries),
        ]);
        let replication = lines(&[("role", &"master"), ("connected_slaves", &0)]);
        let mut cluster = lines(&[("cluster_enabled", &u8::from(clustered))]);
        if keys > 0 {
            write!(
                cluster,
                "\r\n# Keyspace\r\ndb0:keys={keys},expires=0,avg_ttl=0\r\n"
            )
            .expect("a String takes what is written");
        }
        [
            ("Server", server),
            ("Clients", clients),
            ("Memory", memory),
            ("Persistence", persistence),
            ("Stats", stats),
            ("Replication", replication),
            ("Cluster", cluster),
        ]
    }

    pub(super) fn config(&mut self, args: Args<'_>) {
        match args.get(1).to_ascii_lowercase().as_slice() {
            b"get" if args.len() >= 3 => self.config_get(args.from(2)),
            b"get" => self.wrong_words("config|get"),
            b"set" | b"rewrite" | b"resetstat" => {
                let message = "ERR the configuration is given at the start and does not change";
                self.replies().error(message);
            }
            _ => self.unknown_verb(args.get(1), "CONFIG"),
        }
    }

    fn config_get(&mut self, patterns: Args<'_>) {
        let bytes_max = self.node.store.bytes_max().to_string();
        let bulk_max = BULK_BYTES_MAX.to_string();
        let clustered = if self.client.door == Door::Proxy {
            "no"
        } else {
            "yes"
        };
        let known = [
            ("appendonly", "no"),
            ("cluster-enabled", clustered),
            ("databases", "1"),
            ("maxmemory", bytes_max.as_str()),
            ("maxmemory-policy", "allkeys-s3fifo"),
            ("proto-max-bulk-len", bulk_max.as_str()),
            ("save", ""),
            ("timeout", "0"),
        ];
        let asked = |name: &str| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
        };
        let found: Vec<_> = known.iter().filter(|(name, _)| asked(name)).collect();
        let mut replies = self.replies();
        replies.map(found.len());
        for (name, value) in found {
            replies.bulk(name.as_bytes());
            replies.bulk(value.as_bytes());
        }
    }

    pub(super) fn command_command(&mut self, args: Args<'_>) {
        let verb = args.try_get(1).map(<[u8]>::to_ascii_lowercase);
        match (verb.as_deref(), args.len()) {
            (None, _) | (Some(b"info"), 2) => {
                self.replies().array(TABLE.len());
                TABLE.iter().for_each(|spec| self.describe(spec));
            }
            (Some(b"count"), 2) => self.replies().count(TABLE.len()),
            (Some(b"list"), 2) => {
                let mut replies = self.replies();
                replies.array(TABLE.len());
                TABLE
                    .iter()
                    .for_each(|spec| replies.bulk(spec.name.as_bytes()));
            }
            (Some(b"info"), _) => {
                let names = args.from(2);
                self.replies().array(names.len());
                for name in names.iter() {
                    match find(name) {
                        Some(spec) => self.describe(spec),
                        None => self.replies().null_array(),
                    }
                }
            }
            // Nothing is told about any command: clients then show none.
            (Some(b"docs"), _) => self.replies().map(0),
            (Some(b"getkeys"), 4..) => self.get_keys(args.from(2)),
            (Some(b"getkeys"), _) => self.wrong_words("command|getkeys"),
            (Some(_), _) => self.unknown_verb(args.get(1), "COMMAND"),
        }
    }

    fn get_keys(&mut self, request: Args<'_>) {
        let Some(spec) = find(request.get(0)) else {
            return self.replies().error("ERR Invalid command specified");
        };
        if spec.keys == Keys::No {
            return self.replies().error("ERR The command has no key arguments");
        }
        if !spec.takes(request.len()) {
            let message = "ERR Invalid number of arguments specified for command";
            return self.replies().error(message);
        }
        let keys: Vec<_> = spec
            .key_words(request.len())
            .map(|word| request.get(word))
            .collect();
        let mut replies = self.replies();
        replies.array(keys.len());
        keys.into_iter().for_each(|key| replies.bulk(key));
    }

    /// One command as clients want to be told of it: name, arity, flags, first key, last key, step,
    /// categories, and three lists that are empty here.
    fn describe(&mut self, spec: &Spec) {
        let (first, last, step) = match spec.keys {
            Keys::No => (0, 0, 0),
            Keys::One => (1, 1, 1),
            Keys::All => (1, -1, 1),
            Keys::Pairs => (1, -1, 2),
        };
        let (flag, category) = match spec.effect {
            Effect::No => ("fast", "@connection"),
            Effect::Reads => ("readonly", "@read"),
            Effect::Writes => ("write", "@write"),
        };
        let mut replies = self.replies();
        replies.array(10);
        replies.bulk(spec.name.as_bytes());
        replies.integer(spec.arity.into());
        replies.set(1);
        replies.simple(flag);
        replies.integer(first);
        replies.integer(last);
        replies.integer(step);
        replies.set(1);
        replies.simple(category);
        replies.array(0);
        replies.array(0);
        replies.array(0);
    }
}

fn lines(pairs: &[(&str, &dyn std::fmt::Display)]) -> String {
    let line = |(name, value): &(&str, &dyn std::fmt::Display)| format!("{name}:{value}\r\n");
    pairs.iter().map(line).collect()
}
