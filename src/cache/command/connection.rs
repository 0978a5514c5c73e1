//! What a client says about itself and its connection.

use subtle::ConstantTimeEq;

use super::Turn;
use super::run::NO_INTEGER;
use crate::cache::client::{Client, Door};
use crate::cache::resp::{Args, Proto, integer};

/// The version of Redis whose replies these are.
pub(super) const REDIS_VERSION: &str = "7.0.15";

const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the \
                           default user. Are you sure your configuration is correct?";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

impl Turn<'_> {
    pub(super) fn ping(&mut self, args: Args<'_>) {
        match args.len() {
            1 => self.replies().simple("PONG"),
            2 => self.replies().bulk(args.get(1)),
            _ => self.wrong_words("ping"),
        }
    }

    pub(super) fn auth(&mut self, args: Args<'_>) {
        let shown = match args.len() {
            2 => self.admit(b"default", args.get(1)),
            3 => self.admit(args.get(1), args.get(2)),
            _ => Err("ERR syntax error"),
        };
        match shown {
            Ok(()) => self.replies().ok(),
            Err(message) => self.replies().error(message),
        }
    }

    fn admit(&mut self, user: &[u8], password: &[u8]) -> Result<(), &'static str> {
        let Some(wanted) = &self.node.options.password else {
            return if user == b"default" {
                Err(NO_PASSWORD)
            } else {
                Err(WRONG_PASSWORD)
            };
        };
        let right = bool::from(wanted.as_bytes().ct_eq(password)) && user == b"default";
        if !right {
            return Err(WRONG_PASSWORD);
        }
        self.client.is_known = true;
        Ok(())
    }

    pub(super) fn select(&mut self, args: Args<'_>) {
        match integer(args.get(1)) {
            None => self.replies().error(NO_INTEGER),
            Some(0) => self.replies().ok(),
            Some(_) if self.client.door == Door::Proxy => {
                self.replies().error("ERR DB index is out of range");
            }
            Some(_) => self
                .replies()
                .error("ERR SELECT is not allowed in cluster mode"),
        }
    }

    pub(super) fn reset(&mut self) {
        let Client {
            id, address, door, ..
        } = *self.client;
        let is_known = self.node.options.password.is_none();
        *self.client = Client::new(id, address, door, is_known);
        self.replies().simple("RESET");
    }

    pub(super) fn hello(&mut self, args: Args<'_>) {
        if let Err(message) = self.negotiate(args) {
            return self.replies().error(&message);
        }
        let (id, door, proto) = (self.client.id, self.client.door, self.client.proto);
        let mut replies = self.replies();
        replies.map(7);
        for (key, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
            replies.bulk(key.as_bytes());
            replies.bulk(value.as_bytes());
        }
        replies.bulk(b"proto");
        replies.integer(if proto == Proto::Resp3 { 3 } else { 2 });
        replies.bulk(b"id");
        replies.integer(i64::try_from(id).unwrap_or(i64::MAX));
        replies.bulk(b"mode");
        replies.bulk(if door == Door::Proxy {
            b"standalone"
        } else {
            b"cluster"
        });
        replies.bulk(b"role");
        replies.bulk(b"master");
        replies.bulk(b"modules");
        replies.array(0);
    }

    fn negotiate(&mut self, args: Args<'_>) -> Result<(), String> {
        let proto = match args.try_get(1).map(integer) {
            None => self.client.proto,
            Some(Some(2)) => Proto::Resp2,
            Some(Some(3)) => Proto::Resp3,
            Some(Some(_)) => return Err("NOPROTO unsupported protocol version".to_owned()),
            Some(None) => {
                return Err("ERR Protocol version is not an integer or out of range".to_owned());
            }
        };
        let mut rest = args.from(2);
        let mut name = None;
        while let Some(option) = rest.try_get(0) {
            match (
                option.to_ascii_lowercase().as_slice(),
                rest.try_get(1),
                rest.try_get(2),
            ) {
                (b"auth", Some(user), Some(password)) => {
                    self.admit(user, password)?;
                    rest = rest.from(3);
                }
                (b"setname", Some(said), _) => {
                    name = Some(said.to_vec());
                    rest = rest.from(2);
                }
                _ => {
                    let option = String::from_utf8_lossy(option);
                    return Err(format!("ERR Syntax error in HELLO option '{option}'"));
                }
            }
        }
        if !self.client.is_known {
            return Err(
                "NOAUTH HELLO must be called with the client already authenticated, \
                        otherwise the HELLO <proto> AUTH <user> <pass> option can be used to \
                        authenticate the client and select the RESP protocol version at the \
                        same time"
                    .to_owned(),
            );
        }
        if let Some(name) = name {
            self.client.name = plain_name(name)?;
        }
        self.client.proto = proto;
        Ok(())
    }

    pub(super) fn client_command(&mut self, args: Args<'_>) {
        let verb = args.get(1).to_ascii_lowercase();
        match (verb.as_slice(), args.len()) {
            (b"id", 2) => {
                let id = i64::try_from(self.client.id).unwrap_or(i64::MAX);
                self.replies().integer(id);
            }
            (b"getname", 2) if self.client.name.is_empty() => self.replies().null(),
            (b"getname", 2) => {
                let name = self.client.name.clone();
                self.replies().bulk(&name);
            }
            (b"setname", 3) => match plain_name(args.get(2).to_vec()) {
                Ok(name) => {
                    self.client.name = name;
                    self.replies().ok();
                }
                Err(message) => self.replies().error(&message),
            },
            (b"setinfo", 4) => self.client_setinfo(args.get(2), args.get(3)),
            (b"info" | b"list", 2) => {
                let line = self.client_line();
                self.replies().text(&line);
            }
            (b"no-evict" | b"no-touch", 3) => self.replies().ok(),
            (b"reply", 3) if args.get(2).eq_ignore_ascii_case(b"on") => self.replies().ok(),
            (
                b"id" | b"getname" | b"setname" | b"setinfo" | b"info" | b"list" | b"no-evict"
                | b"no-touch" | b"reply",
                _,
            ) => {
                let name = format!("client|{}", String::from_utf8_lossy(&verb));
                self.wrong_words(&name);
            }
            _ => self.unknown_verb(args.get(1), "CLIENT"),
        }
    }

    pub(super) fn unknown_verb(&mut self, verb: &[u8], command: &str) {
        let verb = String::from_utf8_lossy(verb);
        let message = format!("ERR unknown subcommand '{verb}'. Try {command} HELP.");
        self.replies().error(&message);
    }

    fn client_setinfo(&mut self, attribute: &[u8], value: &[u8]) {
        let place = match attribute.to_ascii_lowercase().as_slice() {
            b"lib-name" => &mut self.client.library.0,
            b"lib-ver" => &mut self.client.library.1,
            _ => {
                let attribute = String::from_utf8_lossy(attribute);
                let message = format!("ERR Unrecognized option '{attribute}'");
                return self.replies().error(&message);
            }
        };
        *place = value.iter().copied().take(NAME_BYTES_MAX).collect();
        self.replies().ok();
    }

    fn client_line(&self) -> String {
        let client = &self.client;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let resp = if client.proto == Proto::Resp3 { 3 } else { 2 };
        format!(
            "id={} addr={} name={} db=0 resp={resp} lib-name={} lib-ver={}\n",
            client.id,
            client.address,
            text(&client.name),
            text(&client.library.0),
            text(&client.library.1),
        )
    }
}

/// A name that a client gives itself, or its library.
const NAME_BYTES_MAX: usize = 256;

fn plain_name(name: Vec<u8>) -> Result<Vec<u8>, String> {
    let plain = name.iter().all(|byte| (b'!'..=b'~').contains(byte));
    if !plain || name.len() > NAME_BYTES_MAX {
        return Err(
            "ERR Client names cannot contain spaces, newlines or special characters.".to_owned(),
        );
    }
    Ok(name)
}
