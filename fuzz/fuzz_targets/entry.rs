//! Entries of the controller's tables: any bytes are a change or an error; what is read is written
//! to bytes that are read as the same, and a state takes it and lets go of it again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::controller::job::{JOBS, SCRIPTS};
use statedir::controller::node;
use statedir::controller::state::{CLUSTER, Change, PARTITIONS, State, batch, read};
use statedir::format::Op;

const TABLES: [&str; 5] = [CLUSTER, node::TABLE, PARTITIONS, JOBS, SCRIPTS];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, value)) = bytes.split_first() else { return };
    let table = TABLES[usize::from(*choice) % TABLES.len()];
    let key: &[u8] = match table {
        JOBS | SCRIPTS => &[0, 0, 0, 7],
        CLUSTER => b"next_job_id",
        _ => b"name",
    };
    let Ok(change) = read(table, key, value) else { return };
    let written = batch(std::slice::from_ref(&change)).expect("no longer than what came");
    for op in written.ops() {
        let Op::Put { table: there, key: at, value } = op.expect("just made") else {
            panic!("a change that is there is a put");
        };
        assert_eq!((there, at), (table, key));
        assert_eq!(read(table, at, value).expect("just made"), change);
    }
    let empty = State::default();
    let mut state = empty.clone();
    if let Change::Job(job) = &change {
        // Sums over a node's jobs are of what the controller gave them: it never gives more.
        let most = |share: &statedir::controller::job::Share| share.memory > u64::MAX >> 16;
        if job.course.shares.iter().any(most) {
            return;
        }
        let id = job.id;
        state.take(change.clone());
        state.take(change);
        state.take(Change::ForgetJob(id));
        assert!(state == empty, "nothing is left of a job that is forgotten");
    }
});
