//! SQLite in WAL mode, through the library of the system.
//!
//! Durability: `synchronous = FULL` syncs the WAL at every commit.
//!
//! Tuning: one connection behind a mutex: SQLite has one writer at a time, and a mutex queues
//! for it without the busy polling of many connections. An exclusive lock on the file spares
//! the shared-memory index; statements are prepared once.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, params};

use crate::system::{Expect, Fault, Put, System, Visit};

const SET_UP: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA cache_size = -262144;
    CREATE TABLE IF NOT EXISTS state (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
";
const PUT: &str = "INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)";
const LOAD: &str = "SELECT key, value FROM state";

struct Sqlite(Mutex<Connection>);

pub fn open(dir: &Path, _: Expect) -> Result<Box<dyn System>, Fault> {
    let connection = Connection::open(dir.join("state.sqlite"))?;
    connection.execute_batch(SET_UP)?;
    Ok(Box::new(Sqlite(Mutex::new(connection))))
}

impl Sqlite {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A transaction cut short by a panic has been rolled back by its own drop.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl System for Sqlite {
    fn save(&self, puts: &[Put<'_>]) -> Result<(), Fault> {
        let mut connection = self.connection();
        let write = connection.transaction()?;
        {
            let mut put_one = write.prepare_cached(PUT)?;
            for put in puts {
                put_one.execute(params![put.key, put.value])?;
            }
        }
        Ok(write.commit()?)
    }

    fn load(&self, visit: Visit<'_>) -> Result<(), Fault> {
        let connection = self.connection();
        let mut all = connection.prepare_cached(LOAD)?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            visit(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
        }
        Ok(())
    }
}
