//! redb 4, a copy-on-write B-tree in Rust with one writer at a time.
//!
//! Durability: `Durability::Immediate`, its default: `commit` syncs the file.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::system::{Expect, Fault, KEY, Put, System, Visit};

const TABLE: TableDefinition<'_, &[u8; KEY], &[u8]> = TableDefinition::new("state");

struct Redb(Database);

pub fn open(dir: &Path, _: Expect) -> Result<Box<dyn System>, Fault> {
    Ok(Box::new(Redb(Database::create(dir.join("state.redb"))?)))
}

impl System for Redb {
    fn save(&self, puts: &[Put<'_>]) -> Result<(), Fault> {
        let write = self.0.begin_write()?;
        {
            let mut table = write.open_table(TABLE)?;
            for put in puts {
                table.insert(&put.key, put.value)?;
            }
        }
        Ok(write.commit()?)
    }

    fn load(&self, visit: Visit<'_>) -> Result<(), Fault> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        for pair in table.iter()? {
            let (key, value) = pair?;
            visit(key.value(), value.value());
        }
        Ok(())
    }
}
