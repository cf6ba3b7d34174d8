#!/usr/bin/env bash
# A second systemd on this machine, for tests: process 1 of its own namespaces, on a throw-away layer over the
# machine's own files. Nothing of the machine is changed.
#
#   systemd_lab.sh boot LAB          start it; what lies in LAB/layer is laid over the root first
#   systemd_lab.sh exec LAB CMD...   run a command in it, as root
#   systemd_lab.sh end LAB           kill everything in it; LAB itself is the caller's to remove
#
# Needs root, util-linux, iproute2, procps and systemd. Its network is a loopback device of its own.
set -euo pipefail

verb=$1 lab=$(realpath -m "$2")
shift 2
groups=/sys/fs/cgroup
[ ! -d $groups/unified ] || groups=$groups/unified # a machine with both hierarchies
group=$groups/wrapd-lab-$(basename "$lab")

# A small system: of all that the machine would start, only the journal and the setting-up of files.
quieten() {
  local units=$lab/layer/etc/systemd/system keep unit name
  keep=' systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket
    systemd-tmpfiles-setup.service systemd-sysusers.service '
  mkdir -p "$units"
  for unit in {/usr/lib,/lib,/etc}/systemd/system/{sysinit,local-fs,sockets,timers,basic}.target.wants/*; do
    name=${unit##*/}
    case $keep in *[[:space:]]"$name"[[:space:]]*) continue ;; esac
    [ ! -L "$unit" ] || ln -sfn /dev/null "$units/$name"
  done
  for name in systemd-remount-fs.service systemd-journal-flush.service; do ln -sfn /dev/null "$units/$name"; done
  printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >"$units/lab.target"
  : >"$lab/layer/etc/fstab"
  mkdir -p "$lab/layer/etc/systemd/journald.conf.d"
  printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >"$lab/layer/etc/systemd/journald.conf.d/lab.conf"
}

# Becomes process 1. Runs in new namespaces, before anything else does.
become_init() {
  local root=$lab/root node
  mount -t overlay -o "lowerdir=/,upperdir=$lab/layer,workdir=$lab/work" lab "$root"
  mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
  # The kernel is the machine's own: its settings can be read here, not changed.
  for node in sys sysrq-trigger; do
    [ -e "$root/proc/$node" ] || continue
    mount --bind "$root/proc/$node" "$root/proc/$node"
    mount -o remount,bind,ro "$root/proc/$node"
  done
  mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
  mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs -o mode=0755,nosuid tmpfs "$root/dev"
  for node in full null random tty urandom zero; do
    : >"$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
  done
  mkdir "$root/dev/shm" "$root/dev/pts"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  ln -s fd/0 "$root/dev/stdin"
  ln -s fd/1 "$root/dev/stdout"
  ln -s fd/2 "$root/dev/stderr"
  : >"$root/dev/console"
  mount --bind "$lab/console" "$root/dev/console"
  mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs "$root/run"
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
  hostname lab
  ip link set lo up
  # Not chroot: in one, the kernel would refuse the user namespaces that units ask for.
  mkdir "$root/run/machine"
  cd "$root"
  pivot_root . run/machine
  umount --lazy run/machine
  mount --make-rshared / # else what systemd mounts for one unit, its credentials for one, does not reach it
  exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=wrapd-lab \
    /lib/systemd/systemd --system --unit=lab.target --show-status=no --log-target=journal </dev/null
}

inside() {
  nsenter --target "$(cat "$lab/pid")" --mount --pid --uts --ipc --net --cgroup --root --wd -- \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 SYSTEMD_PAGER= SYSTEMD_COLORS=0 "$@"
}

boot() {
  mkdir -p "$lab"/{layer,work,root}
  : >"$lab/console"
  quieten
  mkdir "$group"
  (
    echo "$BASHPID" >"$group/cgroup.procs" # the root of what the lab will see
    exec unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child --propagation private \
      "$BASH" "$0" become-init "$lab"
  ) >>"$lab/console" 2>&1 </dev/null &
  local outer=$! state
  echo "$outer" >"$lab/outer"
  for _ in {1..400}; do
    if [ ! -s "$lab/pid" ]; then
      # Process 1 in there is the only child of `unshare`, once it has become systemd.
      pgrep --parent "$outer" --exact systemd >"$lab/pid" || :
    else
      state=$(inside systemctl is-system-running 2>/dev/null || :)
      case $state in running | degraded) return ;; esac
    fi
    kill -0 "$outer" 2>/dev/null || break
    sleep 0.05
  done
  echo "systemd did not boot${state:+ (it is $state)}:" >&2
  cat "$lab/console" >&2
  end
  exit 1
}

end() {
  [ ! -s "$lab/pid" ] || kill -KILL "$(cat "$lab/pid")" 2>/dev/null || : # all others die with process 1
  [ ! -s "$lab/outer" ] || kill -KILL "$(cat "$lab/outer")" 2>/dev/null || :
  for _ in {1..100}; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || :
    [ -d "$group" ] || return 0
    sleep 0.05
  done
  echo "$group could not be removed" >&2
  return 1
}

case $verb in
  boot) boot ;;
  exec) inside "$@" ;;
  end) end ;;
  become-init) become_init ;;
  *) echo "what is '$verb'?" >&2; exit 2 ;;
esac
