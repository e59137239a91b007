#!/bin/sh
# Prints what blkmeter reads of this machine's /sys and /proc as a txtar archive, for a test fixture.
# A section "-- a -> b --" is a symbolic link. Runs in any POSIX shell; root sees more.
# Usage: capture.sh > NAME.txtar      (strip serial numbers of real drives before committing it)

file() { [ -r "$1" ] && [ -f "$1" ] && t=$(cat "$1" 2>/dev/null) && printf -- '-- %s --\n%s\n' "${1#/}" "$t"; }
link() { [ -L "$1" ] && printf -- '-- %s -> %s --\n' "${1#/}" "$(readlink "$1")"; }
dir()  { printf -- '-- %s/ --\n' "${1#/}"; }

block() { # one directory of /sys/class/block
  d=$(readlink -f "$1")
  link "$1"; [ -e "$d/partition" ] || link "/sys/block/${1##*/}"
  read -r devt <"$d/dev" && link "/sys/dev/block/$devt"
  for a in dev size ro removable hidden partition stat nsid serial; do file "$d/$a"; done
  for l in "$d"/holders/* "$d"/slaves/*; do link "$l"; done
  for a in scheduler nr_requests rq_affinity nomerges iostats wbt_lat_usec io_poll io_poll_delay max_sectors_kb \
    max_hw_sectors_kb max_segments read_ahead_kb rotational write_cache fua add_random discard_max_bytes \
    discard_granularity write_zeroes_max_bytes chunk_sectors virt_boundary_mask dma_alignment zoned dax \
    logical_block_size physical_block_size; do file "$d/queue/$a"; done
  for q in "$d"/mq/*; do for a in cpu_list nr_tags nr_reserved_tags; do file "$q/$a"; done; done
  for a in loop/backing_file loop/dio loop/offset dm/name dm/uuid md/level md/raid_disks md/array_state; do file "$d/$a"; done
  if [ -L "$d/device" ]; then
    link "$d/device"; e=$(readlink -f "$d/device")
    for a in model serial firmware_rev rev vendor transport numa_node address state cntlid; do file "$e/$a"; done
    [ -L "$e/device" ] && { link "$e/device"; file "$(readlink -f "$e/device")/numa_node"; }
    for i in $(readlink -f "$e/device")/msi_irqs/* $(readlink -f "$e/..")/msi_irqs/*; do file "$i"; done
  fi
  for h in /sys/kernel/debug/block/${1##*/}/hctx*; do file "$h/type"; done
}

for b in /sys/class/block/*; do block "$b"; done
for g in /sys/class/nvme-generic/*; do link "$g"; [ -e "$g" ] && file "$(readlink -f "$g")/dev"; done
for c in /sys/class/nvme/* /sys/class/nvme-subsystem/*; do
  link "$c"; for a in model serial firmware_rev numa_node subsysnqn; do file "$(readlink -f "$c")/$a"; done
done
for a in online possible cpuidle/current_driver cpuidle/current_governor smt/active; do file /sys/devices/system/cpu/$a; done
for c in /sys/devices/system/cpu/cpu[0-9]*; do
  for a in core_id physical_package_id thread_siblings_list; do file "$c/topology/$a"; done
  file "$c/cpufreq/scaling_governor"
  for s in "$c"/cpuidle/state*; do for a in name latency disable; do file "$s/$a"; done; done
done
for n in /sys/devices/system/node/node*; do file "$n/cpulist"; done
file /sys/devices/system/clocksource/clocksource0/current_clocksource
file /sys/class/dmi/id/sys_vendor; file /sys/class/dmi/id/product_name
for a in hostname osrelease io_uring_disabled; do file /proc/sys/kernel/$a; done
printf -- '-- proc/cpuinfo --\n'; sed '/^$/q' /proc/cpuinfo
printf -- '-- proc/meminfo --\n'; head -n 3 /proc/meminfo
file /proc/interrupts; file /proc/swaps
for i in /proc/irq/[0-9]*; do
  case $(ls "$i") in *nvme*|*virtio*) for a in smp_affinity_list effective_affinity_list; do file "$i/$a"; done;; esac
done
for p in /proc/self /proc/1; do
  printf -- '-- %s/mountinfo --\n' "${p#/}"; cat $p/mountinfo
  printf -- '-- %s -> %s --\n' "${p#/}/ns/mnt" "$(readlink $p/ns/mnt)"
done
