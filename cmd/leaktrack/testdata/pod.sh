# usage: pod.sh BED LEAKTRACK WORK USER
#
# Lays out what Kubernetes makes of doc/deploy/sidecar.yaml, with the tools of
# util-linux: one namespace of processes, a file system for each of the two
# containers, a shared folder at /tmp, no capabilities. BED is the test bed, USER
# the user of the watcher (the program's is 1654). Needs root.
set -euo pipefail
export BED=$1 LEAKTRACK=$2 WORK=$3 WATCHER=$4
mkdir -p "$WORK/empty" "$WORK/data" "$WORK/side" "$WORK/bed"
chmod 1777 "$WORK/empty"
chown "$WATCHER" "$WORK/data"

# The program: a view of this machine with the shared folder at /tmp.
cat >"$WORK/program" <<'X'
set -euo pipefail
mount --make-rprivate /
mount --bind "$BED" "$WORK/bed"
mount --bind "$WORK/empty" /tmp
exec setpriv --reuid 1654 --regid 1654 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
	env -i DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 "$WORK/bed"/dotnet "$WORK/bed"/zoo9/LeakZoo.dll linked 100
X

# The watcher: a read-only root that holds the binary, /tmp, /data and /proc.
cat >"$WORK/watcher" <<'X'
set -euo pipefail
mount --make-rprivate /
mount -t tmpfs tmpfs "$WORK/side"
mkdir "$WORK"/side/{tmp,data,proc}
cp "$LEAKTRACK" "$WORK/side/leaktrack"
mount --bind "$WORK/empty" "$WORK/side/tmp"
mount --bind "$WORK/data" "$WORK/side/data"
mount -t proc proc "$WORK/side/proc"
mount -o remount,ro "$WORK/side"
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+setuid,+setgid,+sys_chroot \
	env -i LEAKTRACK_DB=/data/leaktrack.db "$(command -v chroot)" --userspec="$WATCHER:$WATCHER" --groups= "$WORK/side" /leaktrack "$@"
X

# The pod: its first process ends it, and with it the program.
cat >"$WORK/pod" <<'X'
set -uo pipefail
mount --make-rprivate /
mount -t proc proc /proc
(sleep 2; exec unshare --mount bash "$WORK/program" >"$WORK/program.log" 2>&1) &
unshare --mount bash "$WORK/watcher" watch --wait --every 1s --count 15 --metrics 127.0.0.1:0 LeakZoo
status=$?
unshare --mount bash "$WORK/watcher" ps
exit $status
X
exec unshare --pid --fork --mount --kill-child bash "$WORK/pod"
