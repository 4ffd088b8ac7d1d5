/**
 * `node scripts/vm-image.mjs PATH [PROGRAM...]`: writes an initramfs of a small virtual machine to PATH, whose shell is on its serial console, with programs, by name or path, in its
 * /bin, and prints the path of the kernel to boot it with. Exit status 77, with the reason, where there is no such kernel. For the tests in `test/vm`, and benchmarks.
 */
import { buildSmallGuest, Unavailable } from './guest-image.mjs';

const SKIPPED = 77;

/** The device gets no address by itself: that is what the tests try. A lease's routes lead to a gateway that may lie in no network of the guest's. */
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin PS1=
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
# Before there is an interface: it keeps what it was made with.
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
for module in virtio_pci virtio_net af_packet; do modprobe $module 2>/dev/null; done
ip link set lo up
cat >/lease <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
[ -n "$mtu" ] && ip link set $interface mtu $mtu
ip -4 addr flush dev $interface
ip addr add $ip/$mask dev $interface
ip route add default via $router dev $interface onlink
for each in $dns; do echo "nameserver $each"; done >/etc/resolv.conf
echo "lease $ip/$mask $router mtu=$mtu dns=$dns"
END
chmod +x /lease
cat >/up <<'END'
#!/bin/sh
ip link set eth0 up
udhcpc -i eth0 -n -q -O mtu -t 20 -T 1 -s /lease 2>/dev/null
END
chmod +x /up
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
echo @ready
while :; do sh; done
`;

try {
  const [path, ...programs] = process.argv.slice(2);
  console.log(buildSmallGuest(path, INIT, programs));
} catch (error) {
  if (!(error instanceof Unavailable)) throw error;
  console.error(error.message);
  process.exitCode = SKIPPED;
}
