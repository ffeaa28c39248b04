# Completions of slurmctld, slurmd, scontrol, sinfo, squeue, sbatch and scancel for bash: options as the
# program's --help lists them, scontrol's words, and names that the cluster has (asked for, within 2 s).
_statedir_options() {
    "$1" --help 2>&1 | grep -oE '(^|[ ,])--?[A-Za-z][A-Za-z-]*' | tr -d ' ,' | sort -u
}

_statedir() {
    local program=${COMP_WORDS[0]} cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words=
    COMPREPLY=()
    [ "$cur" != = ] || cur=
    if [ "$prev" = = ]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; fi
    case "${program##*/} $prev" in
        slurm*" -f" | slurm*" -L" | sbatch" -"[eio] | sbatch" --output" | sbatch" --error" | sbatch" --input")
            COMPREPLY=($(compgen -f -- "$cur"))
            return ;;
        s*" -p" | s*" --partition") words=$(sinfo -h 2>/dev/null | sed 's/[* ].*//' | sort -u) ;;
        sinfo" -n" | sinfo" --nodes" | s*" -w" | s*" --nodelist" | "scontrol node" | slurmd" -N" | scontrol" "[Nn]ode[Nn]ame)
            words=$(sinfo -h -N 2>/dev/null | sed 's/ .*//' | sort -u) ;;
        squeue" -j" | squeue" --jobs" | scancel" "[0-9a-z]* | "scontrol "hold | "scontrol "release | \
            "scontrol "requeue | "scontrol "suspend | "scontrol "resume | "scontrol "job | scontrol" "[Jj]ob[Ii]d)
            words=$(squeue -h 2>/dev/null | awk '{ print $1 }') ;;
        s*" -t" | s*" --states") words="PENDING RUNNING SUSPENDED COMPLETED CANCELLED FAILED TIMEOUT NODE_FAIL all" ;;
        "scontrol show") words="config daemons hostlist hostnames job node partition step" ;;
        "scontrol update") words="JobId= NodeName= PartitionName=" ;;
        "scontrol create" | "scontrol delete") words="PartitionName=" ;;
        "scontrol write") words="batch_script" ;;
        "scontrol "*) [ "$COMP_CWORD" != 1 ] ||
            words="create delete hold ping reconfigure release requeue requeuehold resume show shutdown suspend takeover top update version write" ;;
    esac
    case "$cur" in -*) words=$(_statedir_options "$program") ;; esac
    if [ -z "$words" ] && [ "${program##*/}" = sbatch ]; then
        COMPREPLY=($(compgen -f -- "$cur"))
        return
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    case "${COMPREPLY[*]}" in *=) compopt -o nospace 2>/dev/null ;; esac
}
complete -F _statedir slurmctld slurmd scontrol sinfo squeue sbatch scancel
