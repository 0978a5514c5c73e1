//! PostgreSQL: the fence is compared, recorded and the write done by one statement.
//!
//! **Simplest**, when the protected thing is one row: give the row a column for the fence.
//!
//! ```sql
//! UPDATE invoices SET total = $1, fence = $2 WHERE id = $3 AND fence <= $2
//! ```
//!
//! No row updated means that the fence is stale (or that there is no such row). Nothing of this
//! module is needed for it.
//!
//! **In general** there is one table with a row for each resource ([`TABLE`]). [`fenced`] puts in
//! front of a write the statement that compares and records ([`ADMIT`]); the write takes part in
//! it by naming `lockring_admitted`, which has one row when the fence is taken and none when it is
//! stale. Both happen under the lock of the resource's row, so of two such writes one waits for
//! the other, also when they write to different rows or tables. That holds at every isolation
//! level; above READ COMMITTED the loser gets a serialization failure and may try again.
//!
//! For writes that take several statements there is `admit`, which is the first of a transaction:
//! the row stays locked until it commits.
//!
//! The functions are there with the feature `postgres`; the texts always, for any other driver.

/// Creates the table that [`ADMIT`] keeps its marks in.
pub const TABLE: &str = "CREATE TABLE IF NOT EXISTS lockring_fences \
    (resource text PRIMARY KEY, fence bigint NOT NULL)";

/// Compares and records: `$1` is the resource, `$2` the fence. It has one row when the fence is
/// taken, and none when it is stale.
pub const ADMIT: &str = "INSERT INTO lockring_fences AS seen (resource, fence) VALUES ($1, $2) \
    ON CONFLICT (resource) DO UPDATE SET fence = excluded.fence \
    WHERE seen.fence <= excluded.fence RETURNING fence";

/// The highest fence of the resource `$1`.
pub const HIGHEST: &str = "SELECT fence FROM lockring_fences WHERE resource = $1";

/// What a write has to name to be guarded.
const ADMITTED: &str = "lockring_admitted";

/// One statement that writes only under a fence that is not stale: `$1` is the resource and `$2`
/// the fence, so the write's own parameters begin with `$3`. It must name `lockring_admitted`;
/// `None` if it does not, because then nothing would guard it.
///
/// ```
/// use lockring_client::fence::postgres::fenced;
///
/// // Also INSERT … SELECT … FROM lockring_admitted, and DELETE … USING lockring_admitted.
/// let write = "UPDATE invoices SET total = $3 FROM lockring_admitted WHERE id = $4";
/// assert!(fenced(write).is_some());
/// assert!(fenced("UPDATE invoices SET total = $3 WHERE id = $4").is_none());
/// ```
#[must_use]
pub fn fenced(write: &str) -> Option<String> {
    write
        .contains(ADMITTED)
        .then(|| format!("WITH {ADMITTED} AS ({ADMIT}) {write}"))
}

#[cfg(feature = "postgres")]
pub use calls::{Error, admit, execute};

#[cfg(feature = "postgres")]
mod calls {
    use lockring_core::Fence;
    use tokio_postgres::types::ToSql;
    use tokio_postgres::{GenericClient, Transaction};

    use super::{ADMIT, HIGHEST, fenced};
    use crate::fence::Stale;

    /// Why a guarded write was not done.
    #[derive(Debug, thiserror::Error)]
    pub enum Error {
        /// A later lease has written; nothing was.
        #[error(transparent)]
        Stale(#[from] Stale),
        /// The write does not name `lockring_admitted`, so nothing would guard it.
        #[error("the write does not name lockring_admitted, so nothing guards it: {0}")]
        Unguarded(String),
        /// The fence is beyond what a `bigint` holds: no cluster has granted it.
        #[error("fence {0} is above {max}", max = i64::MAX)]
        TooHigh(Fence),
        /// What the database says. Whether the write was done is as certain as with any statement.
        #[error(transparent)]
        Database(#[from] tokio_postgres::Error),
    }

    /// Runs one guarded statement, made by [`fenced`], and answers how many rows it wrote.
    ///
    /// ```no_run
    /// use lockring_client::fence::postgres::execute;
    ///
    /// # async fn f(database: tokio_postgres::Client, guard: lockring_client::LockGuard)
    /// #     -> Result<(), Box<dyn std::error::Error>> {
    /// let write = "UPDATE invoices SET total = $3 FROM lockring_admitted WHERE id = $4";
    /// execute(&database, "invoices", guard.fence(), write, &[&1999_i64, &"2026-11"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error`]; `Stale` when a higher fence was there, and then nothing was written.
    pub async fn execute(
        database: &impl GenericClient,
        resource: &str,
        fence: Fence,
        write: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        let statement = fenced(write).ok_or_else(|| Error::Unguarded(write.to_owned()))?;
        let number = as_bigint(fence)?;
        let mut all: Vec<&(dyn ToSql + Sync)> = vec![&resource, &number];
        all.extend(values);
        let rows = database.execute(&statement, &all).await?;
        if rows == 0 {
            // Either it was stale, or there was nothing to write to. The mark never falls, so it
            // can be asked afterwards; in both cases nothing was written.
            stale_by(database, resource, fence).await?;
        }
        Ok(rows)
    }

    /// Compares and records as the first statement of a transaction. Until it ends, everybody
    /// else who brings a fence for this resource waits.
    ///
    /// # Errors
    /// [`Error`]; `Stale` when a higher fence was there: roll the transaction back.
    pub async fn admit(
        transaction: &Transaction<'_>,
        resource: &str,
        fence: Fence,
    ) -> Result<(), Error> {
        let number = as_bigint(fence)?;
        if transaction.execute(ADMIT, &[&resource, &number]).await? == 0 {
            stale_by(transaction, resource, fence).await?;
        }
        Ok(())
    }

    fn as_bigint(fence: Fence) -> Result<i64, Error> {
        i64::try_from(fence.number()).map_err(|_| Error::TooHigh(fence))
    }

    /// Fails if a higher fence is on record.
    async fn stale_by(
        database: &impl GenericClient,
        resource: &str,
        fence: Fence,
    ) -> Result<(), Error> {
        let row = database.query_opt(HIGHEST, &[&resource]).await?;
        let highest: i64 = row.map_or(Ok(0), |row| row.try_get(0))?;
        let least = Fence::claimed(u64::try_from(highest).unwrap_or(0));
        if least > fence {
            return Err(Stale { fence, least }.into());
        }
        Ok(())
    }
}
