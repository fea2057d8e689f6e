package main

// A section is one table of the results, and how it comes about.
type section struct {
	name, title, about string
	pkg, bench, time   string
	count              int
	metrics            []string // the columns; those of clocks by node come by themselves
	nodes              bool     // a second table: clocks by node
}

var sections = []section{
	{
		name: "graph", title: "The graph, between devices in memory", pkg: "./bench", bench: "Graph6?$", time: "0.03s", count: 5, nodes: true,
		metrics: []string{"ns/packet", "ns/graph", "ns/device", "clk-sum"},
		about:   "64-byte UDP packets from one uplink to another. `device` is what receiving, a copy, and forgetting take without a graph; `graph` is the rest, polling included.",
	},
	{
		name: "policy", title: "Sessions and policy", pkg: "./bench", bench: "Policy6?$", time: "0.03s", count: 5, nodes: true,
		metrics: []string{"ns/packet", "ns/graph", "clk-sum"},
		about:   "The same packets of flows that are decided and answered; so many rules for what is forwarded. 10,000 rules name 100 sets of 1,000 addresses.",
	},
	{
		name: "acl", title: "Access lists without sessions", pkg: "./bench", bench: "ACL6?$", time: "0.03s", count: 5, nodes: true,
		metrics: []string{"ns/packet", "ns/graph", "clk-sum"},
		about:   "Each packet is asked about. The rules are those of the section above. With `sets=asked`, the packets have ports of rules that name sets, which are about ten for each, and match one in seven times; else only the last rule matches.",
	},
	{
		name: "flows", title: "New flows", pkg: "./bench", bench: "NewFlows$|NewTranslated$", time: "1x", count: 5,
		metrics: []string{"ns/packet", "flows/s"},
		about:   "Each packet is the first of its flow: received, looked up, judged, opened and sent. With `nat` its source and destination are translated too.",
	},
	{
		name: "nat", title: "Translation", pkg: "./bench", bench: "^BenchmarkNAT$|SourceNAT6?$|Service6?$", time: "0.03s", count: 5, nodes: true,
		metrics: []string{"ns/packet", "clk-sum"},
		about:   "NAT: a NodePort with 100 backends elsewhere, destination and source translated (`nat=false`: sessions alone). SourceNAT: a pool behind the node's address. Service: ClusterIPs of ten backends. Receiving and forgetting are part of ns/packet.",
	},
	{
		name: "tunnel", title: "Tunnels of direct server return", pkg: "./bench", bench: "Tunnel6?$", time: "0.03s", count: 5, nodes: true,
		metrics: []string{"ns/packet", "clk-sum"},
		about:   "IPIP (RFC 2003) and IPv6 in IPv6 (RFC 2473) between 16 nodes, of known flows: into the tunnel to a backend's node (`encap`), and out of it and on to a backend here, translated (`decap`). Receiving and forgetting are part of ns/packet.",
	},
	{
		name: "workers", title: "Several workers", pkg: "./bench", bench: "Workers$|Handoff$", time: "0.2s", count: 5,
		metrics: []string{"Mpps", "ns/packet", "lost/%", "clk-sum"},
		about:   "`plain` has no sessions; `sessions` has policy, and packets come in at the worker of their flow; `crossing` is likewise, but one packet in two is another worker's. Workers: a thread each; Mpps is of all of them, and says something only where each has a core of its own; ns/packet is their CPU time. Handoff: the same workers on one thread, one after the other.",
	},
	{
		name: "io", title: "Pods and the wire, beside the kernel", pkg: "./bench", bench: "PodToPod$|Wire$", time: "1x", count: 1,
		metrics: facing,
		about:   "TCP (cubic), both ends and Skein on the machine's cores; Skein and a namespace that routes by the kernel in turns, seven times a second. Medians of both, and of the ratios of the pairs the median, the least and the most. `cpu` is what all of the machine's cores were busy for, both ends included. The wire carries packets of 1,500 bytes, both its ends join what they receive; `in` is from the wire to the pod. PolicyPodToPod has so many rules at the receiving pod, of which the last allows; the kernel has the same in an nftables chain behind `ct state established accept`.",
	},
	{
		name: "pods", title: "Datagrams, connections and questions between pods, beside the kernel", pkg: "./bench", bench: "Pods$", time: "1x", count: 1,
		metrics: facing,
		about:   loads + " `policy` has so many rules at the receiving pod, `service` a ClusterIP with one backend, as in the section above; the kernel has the same in nftables.",
	},
	{
		name: "uplink", title: "The same to the wire and to the host, beside the kernel", pkg: "./bench", bench: "Uplink$|Host$", time: "1x", count: 1,
		metrics: facing,
		about:   "Loads as above. Uplink: a pod and a remote host behind a router, by a wire of packets of 1,500 bytes; `masquerade` has the pod leave with the node's address, which the kernel does in nftables. Host: a pod and its own node. `in` is to the pod.",
	},
	{
		name: "gro", title: "What gro brings", pkg: "./bench", bench: "GRO$", time: "1x", count: 1,
		metrics: []string{"Gbit/s", "without-Gbit/s", "worker-µs", "without-worker-µs", "ratio", "ratio-min", "ratio-max"},
		about:   "TCP from the wire to a pod over AF_XDP, and the worker's time for each datagram of 1,200 bytes that arrives from pod to pod, with gro and without, in turns.",
	},
	{
		name: "idle", title: "At rest", pkg: "./bench", bench: "Idle$", time: "1x", count: 1,
		metrics: []string{"%-of-a-core", "MiB-resident"},
		about:   "A daemon with 102 TUNs, and nobody sends.",
	},
	{
		name: "stall", title: "Garbage collection beside a million sessions", pkg: "./bench", bench: "Stall$", time: "20s", count: 3,
		metrics: []string{"collections", "MiB-live", "µs-pause-median", "µs-pause-max", "µs-held-max", "held-100", "ms-held", "µs-own-max", "µs-away-max", "µs-median", "µs-p99.9"},
		about:   "A worker's rounds of 256 packets of established flows, and beside them no collection, one a second, or one after the other, with as many processors (`procs`, GOMAXPROCS) as Go chooses and as a daemon has; a daemon makes a collection in two minutes, or when its heap is five times what lived after the last. In each run, the pauses that the runtime counts itself, and how long the worker's thread slept (`held`: the runtime had stopped it, or given its processor to a collecting thread) at most, how often for more than 100 µs (`held-100`) and in all (`ms-held`), and the longest time that it computed in one round (`own`: what interrupts it counts here) and waited for a core (`away`: other programs, and the collecting threads). The benchmark has the priority of the daemon's unit.",
	},
}

// facing are the metrics of loads that Skein and the kernel have in turns.
var facing = []string{"kpps", "kernel-kpps", "Gbit/s", "kernel-Gbit/s", "cpu-µs/MiB", "kernel-cpu-µs/MiB", "kconn/s", "kernel-kconn/s", "kreq/s", "kernel-kreq/s", "µs", "kernel-µs",
	"p99-µs", "kernel-p99-µs", "ratio", "ratio-min", "ratio-max"}

const loads = "What arrives of UDP payloads of 22 bytes (64 on Ethernet with IPv4) that one or two threads send as fast as they can (`small`), and of 1,400 bytes in superpackets of 40 (`segments`, UDP_SEGMENT); TCP connections that four threads make and reset (`connects`); questions of a byte over TCP on 16 connections (`asks`), or one at a time (`round-trip`), also beside 50,000 small datagrams a second (`flood`). By bench/gen's library, in turns, seven times 0.4 s; the ratio is Skein's figure by the kernel's, so that below 1 is better where it is of times. With `cpus=awake` cores with nothing to do wait awake, beside both alike, as `workers.wake_latency: 0s` has them do; else the kernel halts them."
