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
		name: "policy", title: "Sessions and policy", pkg: "./bench", bench: "Policy6?$", time: "0.03s", count: 5,
		metrics: []string{"ns/packet", "ns/graph", "clk-sum"},
		about:   "The same packets of flows that are decided and answered; so many rules for what is forwarded. 10,000 rules name 100 sets of 1,000 addresses.",
	},
	{
		name: "acl", title: "Access lists without sessions", pkg: "./bench", bench: "ACL$", time: "0.03s", count: 5, nodes: true,
		metrics: []string{"ns/packet", "ns/graph", "clk-sum"},
		about:   "Each packet is asked about. The rules are those of the section above; only the last matches.",
	},
	{
		name: "flows", title: "New flows", pkg: "./bench", bench: "NewFlows$|NewTranslated$", time: "1x", count: 5,
		metrics: []string{"ns/packet", "flows/s"},
		about:   "Each packet is the first of its flow: received, looked up, judged, opened and sent. With `nat` its source and destination are translated too.",
	},
	{
		name: "nat", title: "Translation", pkg: "./bench", bench: "^BenchmarkNAT$|SourceNAT$|Service$", time: "0.03s", count: 5,
		metrics: []string{"ns/packet", "clk-sum"},
		about:   "NAT: a NodePort with 100 backends elsewhere, destination and source translated (`nat=false`: sessions alone). SourceNAT: a pool behind the node's address. Service: ClusterIPs of ten backends. Receiving and forgetting are part of ns/packet.",
	},
	{
		name: "io", title: "Pods and the wire, beside the kernel", pkg: "./bench", bench: "PodToPod$|Wire$", time: "1x", count: 1,
		metrics: []string{"Gbit/s", "kernel-Gbit/s", "ratio", "ratio-min", "ratio-max"},
		about:   "TCP, both ends and Skein on the machine's cores; Skein and a namespace that routes by the kernel in turns, seven times a second. Medians of both, and of the ratios of the pairs the median, the least and the most. The wire carries packets of 1,500 bytes, both its ends join what they receive; `in` is from the wire to the pod. PolicyPodToPod has so many rules at the receiving pod, of which the last allows; the kernel has the same in an nftables chain behind `ct state established accept`.",
	},
	{
		name: "small", title: "Small datagrams and round trips, beside the kernel", pkg: "./bench", bench: "Small$|RoundTrip$", time: "1x", count: 1,
		metrics: []string{"kpps", "kernel-kpps", "µs", "kernel-µs", "ratio", "ratio-min", "ratio-max"},
		about:   "Small: UDP payloads of 22 bytes (64 on Ethernet), as many as one or two senders can send from pod to pod, counted where they are received. RoundTrip: one request of a byte over TCP at a time. In turns, seven times half a second.",
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
}
