//! What Slurm's files and programs say, as values. Knows no controller.
//!
//! [`conf`] reads slurm.conf, and statedir.conf beside it; [`hostlist`] reads and writes names such
//! as `n[1-4]`.

pub mod conf;
pub mod hostlist;
