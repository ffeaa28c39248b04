//! statectl as its users meet it: the binary is run, its output and exit code are judged.
#![cfg(feature = "cli")]

#[path = "statectl/apply.rs"]
mod apply;
#[path = "statectl/backing.rs"]
mod backing;
#[path = "statectl/damage.rs"]
mod damage;
#[path = "statectl/documented.rs"]
mod documented;
#[path = "statectl/keeping.rs"]
mod keeping;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/limited.rs"]
mod limited;
#[path = "statectl/manners.rs"]
mod manners;
#[path = "statectl/orphans.rs"]
mod orphans;
#[path = "statectl/probing.rs"]
mod probing;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "programs/mod.rs"]
mod programs;
#[path = "statectl/reading.rs"]
mod reading;
#[path = "statectl/tool.rs"]
mod tool;
#[path = "statectl/trees.rs"]
mod trees;
#[path = "statectl/watching.rs"]
mod watching;
