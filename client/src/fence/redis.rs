//! Redis: the fence is compared, recorded and the command run by one script.
//!
//! A script runs alone, so nothing comes between the comparison and the command. The mark, the
//! highest fence seen, is a key of its own; in a cluster it has to be in the same slot as the
//! data, so give both the same hash tag: `{invoice:7}:fence` and `{invoice:7}`.
//!
//! **What it rests on.** The mark is as durable as the data beside it, since both travel together
//! in the append-only file and to replicas: a failover that loses the mark loses the write that
//! set it. But a mark must not be *evicted* or expire: give it no TTL, and keep it in an instance
//! whose `maxmemory-policy` is `noeviction` or one of the `volatile-` ones.
//!
//! The function is there with the feature `redis`; the text always, for any other driver.

/// `KEYS[1]` is the key of the mark; the keys of the command follow it, so that a cluster finds
/// the slot. `ARGV[1]` is the fence; the command and its arguments follow it.
///
/// It answers `{1, reply}`, or `{0, highest}` when the fence is stale; then nothing has happened.
/// The mark is set before the command runs: should that fail, the fence was seen all the same.
/// Fences are compared as text, because a number in Lua has 53 bits.
pub const SCRIPT: &str = "\
local fence, seen = ARGV[1], redis.call('GET', KEYS[1])
if seen and (#seen > #fence or (#seen == #fence and seen > fence)) then
  return {0, seen}
end
if seen ~= fence then
  redis.call('SET', KEYS[1], fence)
end
return {1, redis.call(unpack(ARGV, 2))}
";

#[cfg(feature = "redis")]
pub use calls::{Error, execute};

#[cfg(feature = "redis")]
mod calls {
    use std::sync::LazyLock;

    use lockring_core::Fence;
    use redis::aio::ConnectionLike;
    use redis::{Arg, Cmd, FromRedisValue, Script, Value};

    use super::SCRIPT;
    use crate::fence::Stale;

    static GUARDED: LazyLock<Script> = LazyLock::new(|| Script::new(SCRIPT));

    /// Why a guarded command was not run.
    #[derive(Debug, thiserror::Error)]
    pub enum Error {
        /// A later lease has been here; nothing has happened.
        #[error(transparent)]
        Stale(#[from] Stale),
        /// What the server says, or the way to it. Whether the command was run is as certain as
        /// with any command.
        #[error(transparent)]
        Redis(#[from] redis::RedisError),
    }

    /// Runs one command unless the fence is stale, and answers its reply. `mark` is the key of the
    /// mark, and `keys` are those that the command names, which only a cluster needs to know.
    ///
    /// The script is called by its digest, and sent once more when the server does not know it.
    ///
    /// ```no_run
    /// use lockring_client::fence::redis::execute;
    ///
    /// # async fn f(mut server: redis::aio::MultiplexedConnection,
    /// #            guard: lockring_client::LockGuard) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut set = redis::cmd("SET");
    /// set.arg("{invoice:7}").arg("paid");
    /// let keys = ["{invoice:7}"];
    /// execute::<()>(&mut server, "{invoice:7}:fence", guard.fence(), &keys, &set).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error`]; `Stale` when a higher fence was there, and then nothing was run.
    pub async fn execute<T: FromRedisValue>(
        server: &mut impl ConnectionLike,
        mark: &str,
        fence: Fence,
        keys: &[&str],
        command: &Cmd,
    ) -> Result<T, Error> {
        let mut call = GUARDED.key(mark);
        for key in keys {
            call.key(*key);
        }
        call.arg(fence.number());
        for argument in command.args_iter() {
            match argument {
                Arg::Simple(bytes) => call.arg(bytes),
                // A scan that has not begun.
                _ => call.arg(0),
            };
        }
        let (taken, reply): (u8, Value) = call.invoke_async(server).await?;
        if taken == 0 {
            let least = Fence::claimed(parse(reply)?);
            return Err(Stale { fence, least }.into());
        }
        parse(reply)
    }

    fn parse<T: FromRedisValue>(reply: Value) -> Result<T, Error> {
        redis::from_redis_value(reply).map_err(|error| Error::Redis(error.into()))
    }
}
