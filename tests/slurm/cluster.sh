#!/usr/bin/env bash
# A SLURM of one node on this machine's loopback, for tests: root, Debian's packages, no systemd, no accounting.
#
#   cluster.sh get            install what is missing
#   cluster.sh up FOLDER      write the configuration to FOLDER, start the daemons
#   cluster.sh down FOLDER    stop the daemons that FOLDER names
#
# While it is up, /etc/slurm/slurm.conf is a link to FOLDER/slurm.conf: Snakemake's jobs clear SLURM_CONF from their
# environment. Left behind it would slow down every later Snakemake, which asks the controller at each start.
set -euo pipefail
FOLDER=$(realpath "${2:-/nowhere}")
export SLURM_CONF=$FOLDER/slurm.conf
NODE=$(hostname -s)
LINK=/etc/slurm/slurm.conf

running() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

wait_for() { # a command that succeeds within 30 s
    for _ in $(seq 120); do "$@" >/dev/null 2>&1 && return; sleep 0.25; done
    echo "waited in vain for: $*" >&2
    return 1
}

get() {
    local packages="munge slurmctld slurmd slurm-client"
    # shellcheck disable=SC2086
    dpkg --status $packages >/dev/null 2>&1 && return
    # the packages must not start daemons of their own, which would listen on all interfaces
    local refusal=/usr/sbin/policy-rc.d
    if [ ! -e $refusal ]; then
        printf '#!/bin/sh\nexit 101\n' >$refusal
        chmod +x $refusal
        trap "rm -f $refusal" RETURN
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $packages >/dev/null
}

configure() {
    mkdir -p "$FOLDER"/{state,spool,log}
    # two GPUs that are none: device files that exist everywhere
    for gpu in 0 1; do [ -e "$FOLDER/gpu$gpu" ] || mknod "$FOLDER/gpu$gpu" c 1 3; done
    echo "NodeName=$NODE Name=gpu Type=fake File=$FOLDER/gpu[0-1]" >"$FOLDER/gres.conf"
    : >"$FOLDER/plugstack.conf"
    cat >"$SLURM_CONF" <<CONF
ClusterName=trimtab
SlurmctldHost=$NODE(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
MpiDefault=none
PlugStackConfig=$FOLDER/plugstack.conf
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPidFile=$FOLDER/slurmctld.pid
SlurmdPidFile=$FOLDER/slurmd.pid
SlurmctldLogFile=$FOLDER/log/slurmctld.log
SlurmdLogFile=$FOLDER/log/slurmd.log
StateSaveLocation=$FOLDER/state
SlurmdSpoolDir=$FOLDER/spool
# without cgroups: descent makes a job, and a job over its memory is found by looking every other second
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=5
GresTypes=gpu
ReturnToService=2
KillWait=5
MinJobAge=3600
AccountingStorageType=accounting_storage/none
# twice the processors and more memory than there is, since half of what jobs do here is to wait
SlurmdParameters=config_overrides
NodeName=$NODE NodeAddr=127.0.0.1 CPUs=$((2 * $(getconf _NPROCESSORS_ONLN))) RealMemory=64000 Gres=gpu:fake:2
PartitionName=cpu Nodes=$NODE Default=YES MaxTime=1-0 DefMemPerCPU=500
PartitionName=gpu Nodes=$NODE MaxTime=1-0 DefMemPerCPU=500
CONF
}

up() {
    getent hosts "$NODE" >/dev/null || echo "127.0.0.1 $NODE" >>/etc/hosts
    configure
    if [ "$(realpath --quiet $LINK)" != "$SLURM_CONF" ]; then
        [ ! -e $LINK ] || { echo "$LINK is there: this machine belongs to a cluster" >&2; exit 1; }
        mkdir -p "$(dirname $LINK)"
        ln --symbolic --force "$SLURM_CONF" $LINK
    fi
    if ! munge --no-input >/dev/null 2>&1; then
        install -d -o munge -g munge /run/munge
        install -d -o munge -g munge -m 700 /var/log/munge /var/lib/munge
        [ -s /etc/munge/munge.key ] || head -c 1024 /dev/urandom >/etc/munge/munge.key
        chown munge:munge /etc/munge/munge.key
        chmod 400 /etc/munge/munge.key
        setpriv --reuid=munge --regid=munge --clear-groups munged
        cp /run/munge/munged.pid "$FOLDER"
    fi
    running "$FOLDER/slurmctld.pid" || slurmctld -f "$SLURM_CONF"
    wait_for scontrol ping
    running "$FOLDER/slurmd.pid" || slurmd -f "$SLURM_CONF" -N "$NODE"
    wait_for srun --ntasks=1 --time=1 true
}

down() {
    [ "$(realpath --quiet $LINK)" != "$SLURM_CONF" ] || rm $LINK
    # jobs outlive the daemons
    if running "$FOLDER/slurmctld.pid"; then
        scancel --me
        for _ in $(seq 80); do [ -n "$(squeue --noheader)" ] || break; sleep 0.25; done
    fi
    for daemon in slurmd slurmctld munged; do
        running "$FOLDER/$daemon.pid" || continue
        kill "$(cat "$FOLDER/$daemon.pid")"
        for _ in $(seq 40); do running "$FOLDER/$daemon.pid" || break; sleep 0.25; done
    done
}

"$1"
