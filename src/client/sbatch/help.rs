//! What `sbatch` says of itself.

/// `--usage`.
pub const USAGE: &str = "\
Usage: sbatch [-N nnodes] [-n ntasks] [-c ncpus] [-p partition] [--hold] [--parsable] [-t minutes]
              [OPTIONS] script [args...]
";

/// `--help`.
pub const HELP: &str = "\
Usage: sbatch [OPTIONS] script [args...]
  -a, --array=indexes           many jobs of one script: 0-15, 0,6,16-32, 0-15%4 (four at once)
  -A, --account=name            charge this account
  -b, --begin=time              not before: now+1hour, 16:00, 2027-01-20T12:34:00
  -c, --cpus-per-task=n         CPUs for each task
  -C, --constraint=features     nodes with these features
      --comment=text            a comment
  -d, --dependency=type:id      not before another job: after, afterany, afterok, ..., singleton
  -D, --chdir=directory         working directory
  -e, --error=file              where errors go
      --exclusive               nodes of its own
      --export=names            variables that the job has: ALL, NONE, NAME, NAME=value
  -H, --hold                    held
  -i, --input=file              where input comes from
  -J, --job-name=name           name
      --mail-type, --mail-user  whom to tell what by mail
      --mem=MB                  memory on each node
      --mem-per-cpu=MB          memory for each CPU
  -n, --ntasks=n                tasks
  -N, --nodes=min[-max]         nodes
      --nice[=n]                a lower priority
      --ntasks-per-node=n       tasks on each node
  -o, --output=file             where output goes; %j %A %a %x %N %u are filled in
      --open-mode=append|truncate
  -p, --partition=names         partition
      --parsable                print the id alone
      --priority=n, --qos=name, --reservation=name, --requeue, --no-requeue
      --signal=[B:]sig[@s]      a signal before the end
  -t, --time=limit              minutes, h:m:s, days-hours
      --test-only               say when it would start
  -w, --nodelist=nodes          these nodes
  -W, --wait                    until it is over; its exit code
      --wrap=command            a command instead of a script
  -x, --exclude=nodes           not these nodes
  -V, --version                 print the version
GPUs, heterogeneous jobs and several clusters are left to Slurm's own sbatch.
";
