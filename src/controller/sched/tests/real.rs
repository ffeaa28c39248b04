//! What the real slurmctld 22.05.8 gave to jobs on an idle cluster with the same slurm.conf, as
//! `scontrol -d show job` printed it: nodes, CPU ids, memory.

use super::*;
use crate::controller::sched::layout::Place;
use crate::slurm::wire::Unset;

const NODES: &str = "NodeName=n[1-4] Sockets=2 CoresPerSocket=4 ThreadsPerCore=2 RealMemory=8000 \
                     Feature=a\nNodeName=m[1-2] Sockets=1 CoresPerSocket=2 ThreadsPerCore=1 \
                     RealMemory=1000 Weight=5 Feature=b\n";

/// A job as sbatch describes it for a few of its options.
fn described(options: &str) -> JobDesc {
    let mut spec = spec(|_| ());
    (spec.cpus_per_task, spec.shared) = (u16::UNSET, u16::UNSET);
    let (mut tasks, mut nodes, mut per_task) = (None, None, 1);
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let (key, value) = word.split_once('=').unwrap_or_else(|| match word {
            "-n" | "-N" | "-c" | "-C" | "-w" | "-x" | "-m" | "-p" => (word, words.next().unwrap()),
            flag => (flag, ""),
        });
        let number = || value.parse::<u32>().unwrap();
        let short = || value.parse::<u16>().unwrap();
        match key {
            "-n" => tasks = Some(number()),
            "-c" => per_task = number(),
            "-N" => {
                let (min, max) = value.split_once('-').unwrap_or((value, value));
                nodes = Some((min.parse::<u32>().unwrap(), max.parse::<u32>().unwrap()));
            }
            "-C" => spec.features = value.into(),
            "-w" => spec.req_nodes = value.into(),
            "-x" => spec.exc_nodes = value.into(),
            "-m" => spec.task_dist = 0x22,
            "-O" => spec.overcommit = 1,
            "-p" => spec.partition = value.into(),
            "-s" => spec.shared = 1,
            "--ntasks-per-socket" => spec.ntasks_per_socket = short(),
            "--spread-job" => spec.bitflags |= 1 << 8,
            "--exclusive" => spec.shared = 0,
            "--mem" => spec.pn_min_memory = value.parse().unwrap(),
            "--mem-per-cpu" => spec.pn_min_memory = 1 << 63 | value.parse::<u64>().unwrap(),
            "--ntasks-per-node" => spec.ntasks_per_node = short(),
            "--ntasks-per-core" => spec.ntasks_per_core = short(),
            "--threads-per-core" => spec.threads_per_core = short(),
            "--cores-per-socket" => spec.cores_per_socket = short(),
            "--mincpus" => spec.pn_min_cpus = short(),
            other => panic!("{other}"),
        }
    }
    if let Some((min, max)) = nodes {
        (spec.min_nodes, spec.max_nodes) = (min, max);
        if spec.ntasks_per_node != u16::UNSET && tasks.is_none() {
            tasks = Some(min * u32::from(spec.ntasks_per_node));
        }
        if min == max && tasks.is_none() {
            tasks = Some(min);
        }
    }
    if let Some(tasks) = tasks {
        (spec.num_tasks, spec.min_cpus) = (tasks, tasks * per_task);
    }
    if per_task > 1 {
        spec.cpus_per_task = u16::try_from(per_task).unwrap();
        spec.min_cpus = tasks.unwrap_or(1) * per_task;
    }
    if spec.overcommit == 1 {
        spec.min_cpus = 1;
    }
    spec
}

/// `n[1-2]:0-1,8-9:40`: nodes, CPU ids, MiB.
fn shown(layout: &Layout, shares: &[Share]) -> String {
    let ids = |place: &Place, share: &Share| {
        let threads = place.threads;
        let ids = share.cores.iter().flat_map(|core| core * threads..(core + 1) * threads);
        ranges(&ids.collect::<Vec<_>>())
    };
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for share in shares {
        let place = &layout.nodes[layout.place(&share.node).unwrap()];
        let what = format!("{}:{}", ids(place, share), share.memory);
        let name = share.node.lossy().into_owned();
        match groups.last_mut() {
            Some((of, names)) if *of == what => names.push(name),
            _ => groups.push((what, vec![name])),
        }
    }
    let group = |(what, names): &(String, Vec<String>)| {
        let list = crate::slurm::hostlist::compress(names.iter().map(String::as_str));
        format!("{list}:{what}")
    };
    let cpus: u32 = shares.iter().map(|share| u32::from(share.cpus)).sum();
    let groups: Vec<String> = groups.iter().map(group).collect();
    format!("{cpus} {}", groups.join(" "))
}

fn ranges(ids: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for id in ids {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *id => *last = *id,
            _ => parts.push((*id, *id)),
        }
    }
    let part = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

/// Each row alone on an idle cluster.
fn same(select: &str, partition: &str, rows: &[(&str, &str)]) {
    same_on(NODES, select, partition, rows);
}

fn same_on(nodes: &str, select: &str, partition: &str, rows: &[(&str, &str)]) {
    let conf = conf(&format!("{select}{nodes}PartitionName=p Nodes=ALL {partition}\n"));
    let layout = Layout::of(&conf, &State::default());
    let mut wrong = Vec::new();
    for (options, wanted) in rows {
        let mut state = idle(&conf);
        let id = submit(&mut state, described(options));
        let found = look(&conf, &state);
        let is = match found.starts.first() {
            Some(start) => shown(&layout, &start.shares),
            None => format!("reason {}", found.forecasts[&id].reason),
        };
        if is != *wanted {
            wrong.push(format!("{options}: {is}, and Slurm: {wanted}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn of_sockets_that_give_a_part_each_as_many_are_taken_as_it_takes() {
    same_on(
        "NodeName=n[1-3] Sockets=2 CoresPerSocket=2 ThreadsPerCore=2 RealMemory=1000\n",
        "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core_Memory\n",
        "DefMemPerCPU=10",
        &[
            ("-n 2 --ntasks-per-socket=1", "2 n1:0-1:20"),
            ("-n 3 --ntasks-per-socket=2", "4 n1:0-1,4-5:40"),
            ("-n 3 -c 2 --ntasks-per-socket=1", "6 n1:0-1,4-5:40 n2:4-5:20"),
            ("-n 9 --ntasks-per-socket=3", "10 n1:0-7:80 n2:4-5:20"),
        ],
    );
}

#[test]
fn cores_and_memory_are_given_as_the_real_scheduler_gives_them() {
    same(
        "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core_Memory\n",
        "DefMemPerCPU=10",
        &[
            ("-n 1", "2 n1:0-1:20"),
            ("-n 3", "4 n1:0-1,8-9:40"),
            ("-n 3 -c 2", "6 n1:0-5:60"),
            ("-n 5 -c 3", "16 n1:0-15:160"),
            ("-N 2", "4 n[1-2]:0-1:20"),
            ("-N 2-3", "6 n[1-3]:0-1:20"),
            ("-N 4 -n 4", "8 n[1-4]:0-1:20"),
            ("-n 17", "18 n1:0-15:160 n2:0-1:20"),
            ("-n 40", "40 n[1-2]:0-15:160 n3:0-3,8-11:80"),
            ("-n 66", "66 m1:0-1:20 n[1-4]:0-15:160"),
            ("-n 70", "reason 178"),
            ("--exclusive", "16 n1:0-15:160"),
            ("--exclusive -N 2", "32 n[1-2]:0-15:160"),
            ("--mem=0", "2 n1:0-1:8000"),
            ("--mem=100", "2 n1:0-1:100"),
            ("--mem-per-cpu=100 -n 3", "4 n1:0-1,8-9:400"),
            ("--mem-per-cpu=1000 -n 3", "4 n1:0-1,8-9:4000"),
            ("-c 16", "16 n1:0-15:160"),
            ("--ntasks-per-node=3 -N 2", "8 n[1-2]:0-1,8-9:40"),
            ("--ntasks-per-node=4 -n 7", "8 n[1-2]:0-1,8-9:40"),
            ("-n 2 -C b", "2 m1:0-1:20"),
            ("-n 2 -C a|b", "2 n1:0-1:20"),
            ("-w m2", "1 m2:0:10"),
            ("-w n3 -N 2", "4 n[3-4]:0-1:20"),
            ("-x n1,n2 -n 4", "4 n3:0-1,8-9:40"),
            ("-n 4 --threads-per-core=1", "8 n1:0-3,8-11:40"),
            ("-n 4 --ntasks-per-core=1", "8 n1:0-3,8-11:80"),
            ("-n 8 -m block:block", "8 n1:0-7:80"),
            ("-n 8 -c 2 -N 2", "16 n1:0-13:140 n2:0-1:20"),
            ("-N 3 -n 10", "10 n1:0-3,8-9:60 n[2-3]:0-1:20"),
            ("-n 2 --cores-per-socket=4", "2 n1:0-1:20"),
            ("-N 1-1 -n 12", "12 n1:0-5,8-13:120"),
            ("-N 5", "9 m1:0:10 n[1-4]:0-1:20"),
            ("-N 6", "10 m[1-2]:0:10 n[1-4]:0-1:20"),
            ("-N 7", "reason 4"),
        ],
    );
}

#[test]
fn cpus_are_given_as_the_real_scheduler_gives_them() {
    same(
        "SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU_Memory\n",
        "",
        &[
            ("-n 1", "1 n1:0-1:8000"),
            ("-n 3 -c 2", "6 n1:0-5:8000"),
            ("-N 2", "2 n[1-2]:0-1:8000"),
            ("-n 17", "17 n1:0-15:8000 n2:0-1:8000"),
            ("-n 40", "40 n[1-2]:0-15:8000 n3:0-7:8000"),
            ("--exclusive", "16 n1:0-15:8000"),
            ("--mem=100", "1 n1:0-1:100"),
            ("--mem-per-cpu=100 -n 3", "3 n1:0-3:300"),
            ("-c 16", "16 n1:0-15:8000"),
            ("--ntasks-per-node=3 -N 2", "6 n[1-2]:0-3:8000"),
            ("-n 2 -C b", "2 m1:0-1:1000"),
            ("-n 4 --threads-per-core=1", "4 n1:0-7:8000"),
            ("-N 3 -n 10", "10 n1:0-5:8000 n[2-3]:0-1:8000"),
            ("-w n3 -N 2", "2 n[3-4]:0-1:8000"),
            ("-n 66", "66 m1:0-1:1000 n[1-4]:0-15:8000"),
        ],
    );
}

#[test]
fn whole_nodes_are_given_as_the_real_scheduler_gives_them() {
    same(
        "SelectType=select/linear\n",
        "",
        &[
            ("-n 1", "16 n1:0-15:0"),
            ("-n 3 -c 2", "16 n1:0-15:0"),
            ("-N 2", "32 n[1-2]:0-15:0"),
            ("-n 17", "32 n[1-2]:0-15:0"),
            ("-n 40", "48 n[1-3]:0-15:0"),
            ("--exclusive", "16 n1:0-15:0"),
            ("--mem=100", "16 n1:0-15:0"),
            ("-c 16", "16 n1:0-15:0"),
            ("--ntasks-per-node=3 -N 2", "32 n[1-2]:0-15:0"),
            ("-n 2 -C b", "2 m1:0-1:0"),
            ("-N 3 -n 10", "48 n[1-3]:0-15:0"),
            ("-w n3 -N 2", "32 n[3-4]:0-15:0"),
        ],
    );
}

#[test]
fn sockets_are_given_as_the_real_scheduler_gives_them() {
    same(
        "SelectType=select/cons_tres\nSelectTypeParameters=CR_Socket\n",
        "",
        &[
            ("-n 1", "8 n1:0-7:0"),
            ("-n 3", "16 n1:0-15:0"),
            ("-n 3 -c 2", "8 n1:0-7:0"),
            ("-N 2", "16 n[1-2]:0-7:0"),
            ("-n 17", "24 n1:0-15:0 n2:0-7:0"),
            ("-n 40", "48 n[1-3]:0-15:0"),
            ("--exclusive", "16 n1:0-15:0"),
            ("-c 16", "16 n1:0-15:0"),
            ("--ntasks-per-node=3 -N 2", "32 n[1-2]:0-15:0"),
            ("-n 2 -C b", "2 m1:0-1:0"),
            ("-n 4 --threads-per-core=1", "16 n1:0-15:0"),
            ("-n 66", "66 m1:0-1:0 n[1-4]:0-15:0"),
        ],
    );
}

/// One job after the other, each while those before it run.
#[test]
fn what_others_left_is_filled_as_the_real_scheduler_fills_it() {
    let conf = conf(
        "SelectType=select/cons_res\nSelectTypeParameters=CR_Core\nNodeName=n[1-6] CPUs=4 \
         RealMemory=8000\nPartitionName=p Nodes=ALL\n",
    );
    let layout = Layout::of(&conf, &State::default());
    let rows: [&[(&str, &str)]; 3] = [
        &[
            ("-n 3", "3 n1:0-2:0"),
            ("-n 2", "2 n2:0-1:0"),
            ("-n 1", "1 n1:3:0"),
            ("-n 4 -N 2", "4 n2:2-3:0 n3:0-1:0"),
            ("-n 10", "10 n3:2-3:0 n[4-5]:0-3:0"),
        ],
        &[
            ("-n 1 -w n3", "1 n3:0:0"),
            ("-n 2", "2 n3:1-2:0"),
            ("-n 12", "12 n[1-2]:0-3:0 n3:3:0 n4:0-2:0"),
            ("-N 2 -n 2", "2 n4:3:0 n5:0:0"),
            ("--exclusive", "4 n6:0-3:0"),
        ],
        &[
            ("-n 2 -w n2", "2 n2:0-1:0"),
            ("-n 3 -w n4", "3 n4:0-2:0"),
            ("-n 1", "1 n4:3:0"),
            ("-n 2", "2 n5:0-1:0"),
            ("-n 6", "6 n5:2-3:0 n6:0-3:0"),
        ],
    ];
    for row in rows {
        let mut state = idle(&conf);
        for (options, wanted) in row {
            let id = submit(&mut state, described(options));
            start_all(&conf, &mut state);
            let shares = &state.job(id).unwrap().course.shares;
            assert_eq!(shown(&layout, shares), *wanted, "{options} of {row:?}");
        }
    }
}

const SHARED: &str = "NodeName=n[1-3] Sockets=2 CoresPerSocket=2 ThreadsPerCore=2 RealMemory=1000\n\
                      PartitionName=p Nodes=ALL DefMemPerCPU=10\n\
                      PartitionName=yes Nodes=ALL DefMemPerCPU=10 OverSubscribe=YES:2\n\
                      PartitionName=force Nodes=ALL DefMemPerCPU=10 OverSubscribe=FORCE:2\n\
                      PartitionName=one Nodes=ALL DefMemPerCPU=10 OverSubscribe=FORCE:1\n\
                      PartitionName=three Nodes=ALL DefMemPerCPU=10 OverSubscribe=FORCE:3\n\
                      PartitionName=high Nodes=ALL DefMemPerCPU=10 OverSubscribe=FORCE:2 \
                      PriorityTier=5\n\
                      PartitionName=alone Nodes=ALL DefMemPerCPU=10 OverSubscribe=EXCLUSIVE\n";

/// Jobs one after the other on one cluster.
fn in_turn(select: &str, sequences: &[&[(&str, &str)]]) {
    let conf = conf(&format!("{select}{SHARED}"));
    let layout = Layout::of(&conf, &State::default());
    let mut wrong = Vec::new();
    for sequence in sequences {
        let mut state = idle(&conf);
        for (options, wanted) in *sequence {
            let id = submit(&mut state, described(options));
            let found = start_all(&conf, &mut state);
            let started = found.starts.iter().find(|start| start.job == id);
            let is = started.map_or("waits".to_owned(), |start| shown(&layout, &start.shares));
            if is != *wanted {
                wrong.push(format!("{options}: {is}, and Slurm: {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn cores_are_shared_as_the_real_scheduler_shares_them() {
    in_turn(
        "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core_Memory\n",
        &[
            &[
                ("-p force -N 3 -n 24", "24 n[1-3]:0-7:80"),
                ("-p force -n 4", "4 n1:0-1,4-5:40"),
                ("-p force -n 8", "8 n2:0-7:80"),
                ("-p force -n 8", "8 n3:0-7:80"),
                ("-p force -n 8", "waits"),
            ],
            &[
                ("-p force -N 1 -w n1 -n 3", "4 n1:0-1,4-5:40"),
                ("-p force -N 1 -w n1 -n 3", "4 n1:2-3,6-7:40"),
                ("-p force -N 1 -w n1 -n 3", "4 n1:0-1,4-5:40"),
                ("-p force -N 1 -w n1 -n 8", "waits"),
            ],
            &[
                ("-p yes -N 1 -w n1 -n 8", "8 n1:0-7:80"),
                ("-p yes -s -N 1 -w n1 -n 8", "waits"),
                ("-p yes -s -N 1 -w n2 -n 8", "8 n2:0-7:80"),
                ("-p yes -s -N 1 -w n2 -n 6", "6 n2:0-5:60"),
                ("-p yes -s -N 1 -w n2 -n 4", "waits"),
                ("-p yes -N 1 -w n2 -n 2", "waits"),
            ],
            &[
                ("-p force -N 1 -w n1 -n 2", "2 n1:0-1:20"),
                ("-n 2", "2 n2:0-1:20"),
                ("-p yes -n 2", "2 n2:2-3:20"),
                ("-p yes -s -n 2", "2 n1:2-3:20"),
            ],
            &[
                ("-p force --exclusive -n 1 -N 1 -w n1", "8 n1:0-7:80"),
                ("-p force -n 8 -N 1 -w n1", "8 n1:0-7:80"),
                ("-p force -n 1 -N 1 -w n1", "waits"),
            ],
            &[
                ("-p force -N 1 -w n1 -n 8", "8 n1:0-7:80"),
                ("-p three -N 1 -w n1 -n 8", "8 n1:0-7:80"),
                ("-p high -N 1 -w n1 -n 8", "8 n1:0-7:80"),
                ("-p high -N 1 -w n1 -n 4", "4 n1:0-1,4-5:40"),
            ],
        ],
    );
}

#[test]
fn nodes_are_shared_as_the_real_scheduler_shares_them() {
    in_turn(
        "SelectType=select/linear\nSelectTypeParameters=CR_Memory\n",
        &[
            &[
                ("-p force --mem=10", "8 n1:0-7:10"),
                ("-p force --mem=10", "8 n2:0-7:10"),
                ("-p force --mem=10", "8 n3:0-7:10"),
                ("-p force --mem=10", "8 n1:0-7:10"),
                ("-p force --mem=10 -N 2", "16 n[2-3]:0-7:10"),
                ("-p force --mem=10", "waits"),
            ],
            &[
                ("-p three --mem=10 -N 2", "16 n[1-2]:0-7:10"),
                ("-p three --mem=10 -N 2", "16 n[1-2]:0-7:10"),
                ("-p three --mem=10", "8 n3:0-7:10"),
                ("-p three --mem=10 -N 3", "24 n[1-3]:0-7:10"),
                ("-p three --mem=10 -N 2", "waits"),
            ],
        ],
    );
}
