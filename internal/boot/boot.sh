#!/bin/sh
# Makes a root file system of its own, and becomes systemd in it. It runs in
# namespaces of its own: pid, mount, uts, ipc, network and cgroup.
#   boot.sh ROOT FILES TARGET
# ROOT is an empty directory, FILES one that is copied to the new root.
set -eu
mount --make-rprivate /
mount -t tmpfs -o size=256m,mode=755 boot "$1"
files=$(realpath "$2")
cd "$1"
mkdir -p usr etc/systemd/system var/log proc sys dev run tmp var/lib root old
mount --rbind /usr usr
mount -o remount,bind,ro usr
for d in bin sbin lib lib64; do ln -s usr/$d $d; done
# Programs of the machine's own; and udev's rules are about network links only.
mount -t tmpfs -o mode=755 local usr/local
mkdir -p usr/local/bin
if [ -d /usr/lib/udev/rules.d ]; then
	mkdir -p rules
	cp /usr/lib/udev/rules.d/*net-setup-link.rules /usr/lib/udev/rules.d/*net-description.rules rules/ 2>/dev/null || true
	mount --bind rules usr/lib/udev/rules.d
fi
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
mkdir -p dev/net dev/pts dev/shm
for n in null zero full random urandom tty net/tun; do
	: >dev/$n
	mount --bind /dev/$n dev/$n
done
mount -t tmpfs -o mode=755 run run
mount -t tmpfs tmp tmp
mkdir -p run/netns
mount --rbind /run/netns run/netns # pods
cat >etc/passwd <<-end
	root:x:0:0:root:/root:/bin/sh
	messagebus:x:100:100::/:/bin/false
	systemd-network:x:101:101::/:/bin/false
	nobody:x:65534:65534::/:/bin/false
end
cat >etc/group <<-end
	root:x:0:
	messagebus:x:100:
	systemd-network:x:101:
	nogroup:x:65534:
end
printf 'passwd: files\ngroup: files\n' >etc/nsswitch.conf
od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >etc/machine-id
cp -a "$files/." .
pivot_root . old
umount -l /old
exec env -i container=skein PATH=/usr/local/bin:/usr/sbin:/usr/bin \
	/lib/systemd/systemd --unit="$3" --log-target=journal --show-status=0
