#!/usr/bin/env bash
# A Slurm cluster of this one node, to try the job scripts, and for `make test`: all of it is in
# one folder, beside any other Slurm of the machine.
#
#   slurm/one_node.sh start DIR    then: export SLURM_CONF=DIR/slurm.conf; sbatch, srun, squeue …
#   slurm/one_node.sh stop DIR
set -euo pipefail
do=${1:-} dir=${2:-}
[[ $do =~ ^(start|stop)$ && -n $dir ]] || { echo 'usage: one_node.sh start|stop DIR' >&2; exit 2; }
PATH=$PATH:/usr/sbin:/sbin

stop() {
    local pid
    for daemon in slurmd slurmctld munged; do
        if [ -f "$dir/$daemon.pid" ] && pid=$(cat "$dir/$daemon.pid"); then
            kill "$pid" 2>/dev/null || true
            for _ in {1..50}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
            rm -f "$dir/$daemon.pid"
        fi
    done
}

if [ "$do" = stop ]; then
    # Jobs first: their steps outlive the daemons.
    SLURM_CONF=$dir/slurm.conf timeout 20 scancel --full --user "$(id -un)" 2>/dev/null || true
    for _ in {1..50}; do
        [ -n "$(SLURM_CONF=$dir/slurm.conf timeout 5 squeue --noheader 2>/dev/null)" ] || break
        sleep 0.1
    done
    stop
    exit
fi

mkdir -p "$dir"/{state,spool}
dir=$(cd "$dir" && pwd)
user=$(id -un)
host=$(uname -n); host=${host%%.*}
# Two free ports.
read -r controller node < <(python3 - <<'PYTHON'
import socket
s = [socket.socket() for _ in range(2)]
for x in s:
    x.bind(("127.0.0.1", 0))
print(*(x.getsockname()[1] for x in s))
PYTHON
)

(umask 077; head -c 1024 /dev/urandom >"$dir/munge.key")
munged --force --socket "$dir/munge.socket" --key-file "$dir/munge.key" --pid-file "$dir/munged.pid" \
    --log-file "$dir/munged.log" --seed-file "$dir/munge.seed"

cat >"$dir/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
# A job that was put back waits for its credential to expire: two minutes otherwise.
AuthInfo=socket=$dir/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPort=$controller
SlurmdPort=$node
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
# Without cgroups: as a container or a user's own account has it.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=pmix
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1
SlurmdParameters=config_overrides
MinJobAge=300
# MPI names its shared memory by the job: two such clusters on a machine must not share job numbers.
FirstJobId=$((RANDOM * 1000 + RANDOM % 1000 + 1))
KillWait=20
ReturnToService=2
# More tasks than cores, as on a laptop.
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 RealMemory=1 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE
CONF
export SLURM_CONF=$dir/slurm.conf
trap 'echo "no Slurm; see $dir/*.log" >&2; stop' ERR
slurmctld
slurmd -N "$host"
for _ in {1..100}; do
    [ "$(sinfo --noheader --format %T 2>/dev/null)" = idle ] && exit 0
    sleep 0.2
done
tail -n 20 "$dir"/slurm*.log >&2
false
