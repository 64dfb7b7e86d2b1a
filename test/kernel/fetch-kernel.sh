#!/bin/bash
# fetch-kernel.sh PACKAGE FOLDER: prepares a Debian kernel for QEMU without installing it.
#
# PACKAGE is a versioned image (linux-image-6.1.0-56-amd64) or a metapackage (linux-image-amd64, linux-image-6.12-amd64).
# FOLDER receives NAME_VERSION/{vmlinuz,initrd,config,lib/modules}; the last line printed is the path of that folder.
# The cloud images do not work: they have no 9p.
set -euo pipefail
package=$1 store=$2
PATH=$PATH:/usr/sbin:/sbin
name=$(apt-cache depends --no-recommends --no-suggests "$package" |
  awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9].*-amd64(-unsigned)?$/ { print $2; exit }')
name=${name:-$package}
version=$(apt-cache show --no-all-versions "$name" | sed -n 's/^Version: //p')
[ -n "$version" ] || { echo "no package $name" >&2; exit 1; }
folder=$store/${name}_${version//[^a-zA-Z0-9.+-]/_}
if [ -e "$folder/initrd" ]; then echo "$folder"; exit; fi

work=$store/.new-$$
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/image" "$work/initrd"/{bin,dev,proc,sys,host,mods}
cd "$work"
apt-get -q download "$name=$version" busybox-static >&2
# Not every kernel has every folder (fscache went in 6.12): a pattern without a match is no error, a missing kernel is.
dpkg-deb --fsys-tarfile linux-image-*.deb | tar x -C image --wildcards '*/vmlinuz-*' '*/config-*' '*/modules.order' \
  '*/modules.builtin*' '*/kernel/net/*' '*/kernel/lib/*' '*/kernel/crypto/*' '*/kernel/drivers/virtio/*' '*/kernel/fs/9p/*' \
  '*/kernel/fs/netfs/*' '*/kernel/fs/fscache/*' '*/kernel/drivers/net/v[ex]*' '*/kernel/drivers/net/bonding/*' \
  '*/kernel/drivers/net/dummy*' '*/kernel/drivers/net/tun*' 2>/dev/null || true
mv image/boot/vmlinuz-* vmlinuz
mv image/boot/config-* config
if [ -d image/lib/modules ]; then mv image/lib lib; else mv image/usr/lib lib; fi
release=$(ls lib/modules)
depmod -b "$work" "$release"
dpkg-deb --fsys-tarfile busybox-static*.deb | tar xO --wildcards '*bin/busybox' >initrd/bin/busybox
chmod 755 initrd/bin/busybox

# The modules that mount the host's files, numbered in the order of their dependences.
number=100
for module in virtio_pci 9pnet_virtio 9p; do
  for file in $(modprobe -d "$work" -S "$release" -a --show-depends "$module" | awk '$1 == "insmod" { print $2 }'); do
    plain=$(basename "${file%.xz}")
    if compgen -G "initrd/mods/*-$plain" >/dev/null; then continue; fi
    case $file in *.xz) xz -dc "$file" ;; *) cat "$file" ;; esac >"initrd/mods/$number-$plain"
    number=$((number + 1))
  done
done

# Process 1 until the host's files are the root: read-only all of them, and read-write the folder that lab= names.
cat >initrd/init <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in /mods/*.ko; do $b insmod "$module" || echo "lab: insmod $module failed"; done
for word in $($b cat /proc/cmdline); do case $word in lab=*) lab=${word#lab=} ;; esac; done
options=trans=virtio,version=9p2000.L,msize=512000
$b mount -t 9p -o "ro,cache=loose,$options" host /host || { echo 'lab: the root cannot be mounted'; $b poweroff -f; }
$b mount -t 9p -o "rw,cache=none,$options" lab "/host$lab" || { echo 'lab: the folder cannot be mounted'; $b poweroff -f; }
$b mount --move /dev /host/dev
$b umount /sys
$b umount /proc
exec $b switch_root /host "$lab/init"
INIT
chmod 755 initrd/init
(cd initrd && find . -print0 | LC_ALL=C sort -z | cpio --null -o -H newc --quiet -R 0:0) >initrd.cpio
rm -rf initrd image ./*.deb
mv initrd.cpio initrd
rm -rf "$folder"
mv "$work" "$folder"
echo "$folder"
