package afxdp

import (
	"github.com/asavie/xdp"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skein-dataplane/skein/hdr"
)

// What the program says (enum xdp_action, linux/bpf.h).
const (
	xdpAborted = 0
	xdpDrop    = 1
	xdpPass    = 2
)

// Offsets into the program's context (struct xdp_md, linux/bpf.h).
const (
	ctxData    = 0
	ctxDataEnd = 4
	ctxQueue   = 16 // rx_queue_index
)

// Offsets from the start of an untagged frame.
const (
	offType = 12
	offIP   = hdr.EtherLen
	offSrc4 = offIP + 12 // RFC 791, section 3.1
	offSrc6 = offIP + 8  // RFC 8200, section 3
)

// Registers that keep their value over calls.
const (
	regCtx  = asm.R6
	regDrop = asm.R7 // offset of the counter of a drop
	regRule = asm.R8 // the guard's rule
)

// newProgram loads the program of an interface with so many queues. It does
// what the library's own does, which is that of the kernel's samples, behind
// the guard:
//
//	rule := the guard's
//	if the frame has an IP source, not of the link, and the list of its family denies it {
//		count; return XDP_DROP
//	}
//	if rule.depth != 0 {
//		now := bpf_ktime_get_ns()
//		rule.full = max(rule.full, now)
//		if rule.full - now >= rule.depth { count; return XDP_DROP }
//		rule.full += rule.cost
//	}
//	switch queues[rx_queue_index] {
//	case none: return XDP_ABORTED
//	case 0:    return XDP_PASS
//	default:   return bpf_redirect_map(sockets, rx_queue_index)
//	}
//
// Several CPUs run it at once. What one adds to rule.full is never lost by
// another's addition; between the look and the addition each may let one packet
// too many pass, and where two find a bucket full at once one packet is free.
func newProgram(queues int) (_ *xdp.Program, _ *guard, err error) {
	p, g := new(xdp.Program), new(guard)
	defer func() {
		if err != nil {
			_ = p.Close() // what is there of it
			_ = g.close()
		}
	}()
	number := uint32(queues)
	if p.Queues, err = newMap("skein_queues", ebpf.Array, 4, 4, number, 0); err != nil {
		return nil, nil, err
	}
	if p.Sockets, err = newMap("skein_sockets", ebpf.XSKMap, 4, 4, number, 0); err != nil {
		return nil, nil, err
	}
	if err = g.open(number); err != nil {
		return nil, nil, err
	}
	var code asm.Instructions
	for _, part := range []asm.Instructions{denyCode(g), limitCode(), redirectCode(p), dropCode(g, number)} {
		code = append(code, part...)
	}
	p.Program, err = ebpf.NewProgram(&ebpf.ProgramSpec{Name: "skein_xdp", Type: ebpf.XDP, Instructions: code, License: "Apache-2.0"})
	return p, g, err
}

func newMap(name string, typ ebpf.MapType, key, value, entries, flags uint32) (*ebpf.Map, error) {
	return ebpf.NewMap(&ebpf.MapSpec{Name: name, Type: typ, KeySize: key, ValueSize: value, MaxEntries: entries, Flags: flags})
}

// denyCode looks the source up. It goes on to "limit" or to "denied". The key
// of a list is a prefix length of 32 bits in host order and an address.
func denyCode(g *guard) asm.Instructions {
	within := func(n int32) asm.Instructions { // R2 is the frame's start, R3 its end
		return asm.Instructions{asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, n), asm.JGT.Reg(asm.R4, asm.R3, "limit")}
	}
	const key4, key6 = -8, -24 // on the stack
	code := asm.Instructions{
		asm.Mov.Reg(regCtx, asm.R1),
		asm.LoadMapValue(regRule, g.rule.FD(), 0),
		asm.LoadMem(asm.R2, regCtx, ctxData, asm.Word),
		asm.LoadMem(asm.R3, regCtx, ctxDataEnd, asm.Word),
	}
	code = append(code, within(offIP+1)...)
	code = append(code,
		asm.LoadMem(asm.R5, asm.R2, offType, asm.Half), asm.HostTo(asm.BE, asm.R5, asm.Half),
		asm.JEq.Imm(asm.R5, hdr.TypeIPv4, "ip"),
		asm.JNE.Imm(asm.R5, hdr.TypeIPv6, "limit"),
		asm.LoadMem(asm.R5, asm.R2, offIP, asm.Byte).WithSymbol("ip"),
		asm.RSh.Imm(asm.R5, 4),
		asm.JEq.Imm(asm.R5, 4, "ip4"),
		asm.JNE.Imm(asm.R5, 6, "limit"),
		asm.LoadMem(asm.R5, regRule, ruleDeny6, asm.DWord), // an empty list costs this only
		asm.JEq.Imm(asm.R5, 0, "limit"))
	code = append(code, within(offIP+hdr.IPv6Len)...)
	code = append(code, // fe80::/10 passes
		asm.LoadMem(asm.R5, asm.R2, offSrc6, asm.Half), asm.HostTo(asm.BE, asm.R5, asm.Half),
		asm.And.Imm(asm.R5, 0xffc0),
		asm.JEq.Imm(asm.R5, 0xfe80, "limit"))
	code = append(code, asm.StoreImm(asm.RFP, key6, 128, asm.Word))
	for i := int16(0); i < 16; i += 4 { // in words: on a machine that cares, IP headers are aligned so
		code = append(code, asm.LoadMem(asm.R5, asm.R2, offSrc6+i, asm.Word), asm.StoreMem(asm.RFP, key6+4+i, asm.R5, asm.Word))
	}
	code = append(code,
		asm.LoadMapPtr(asm.R1, g.deny6.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, key6),
		asm.Ja.Label("look"),

		asm.LoadMem(asm.R5, regRule, ruleDeny4, asm.DWord).WithSymbol("ip4"),
		asm.JEq.Imm(asm.R5, 0, "limit"))
	code = append(code, within(offIP+hdr.IPv4Len)...)
	return append(code,
		asm.StoreImm(asm.RFP, key4, 32, asm.Word),
		asm.LoadMem(asm.R5, asm.R2, offSrc4, asm.Word), asm.StoreMem(asm.RFP, key4+4, asm.R5, asm.Word),
		asm.LoadMapPtr(asm.R1, g.deny4.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, key4),

		asm.FnMapLookupElem.Call().WithSymbol("look"),
		asm.Mov.Imm(regDrop, dropDenied),
		asm.JNE.Imm(asm.R0, 0, "drop"))
}

// limitCode takes from the bucket. It goes on to "redirect" or to "drop".
func limitCode() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R1, regRule, ruleDepth, asm.DWord).WithSymbol("limit"),
		asm.JEq.Imm(asm.R1, 0, "redirect"),
		asm.FnKtimeGetNs.Call(),
		asm.LSh.Imm(asm.R0, fraction),
		asm.LoadMem(asm.R2, regRule, ruleFull, asm.DWord),
		asm.JGE.Reg(asm.R2, asm.R0, "level"),
		asm.StoreMem(regRule, ruleFull, asm.R0, asm.DWord),
		asm.Mov.Reg(asm.R2, asm.R0),
		asm.Sub.Reg(asm.R2, asm.R0).WithSymbol("level"),
		asm.LoadMem(asm.R1, regRule, ruleDepth, asm.DWord),
		asm.Mov.Imm(regDrop, dropLimited),
		asm.JGE.Reg(asm.R2, asm.R1, "drop"),
		asm.LoadMem(asm.R1, regRule, ruleCost, asm.DWord),
		asm.AddAtomic.Mem(regRule, asm.R1, asm.DWord, ruleFull),
	}
}

// redirectCode hands the packet to the socket of its queue.
func redirectCode(p *xdp.Program) asm.Instructions {
	const key = -4
	return asm.Instructions{
		asm.LoadMem(asm.R1, regCtx, ctxQueue, asm.Word).WithSymbol("redirect"),
		asm.StoreMem(asm.RFP, key, asm.R1, asm.Word),
		asm.LoadMapPtr(asm.R1, p.Queues.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, key),
		asm.FnMapLookupElem.Call(),
		asm.Mov.Reg(asm.R1, asm.R0),
		asm.Mov.Imm(asm.R0, xdpAborted),
		asm.JEq.Imm(asm.R1, 0, "out"),
		asm.Mov.Imm(asm.R0, xdpPass),
		asm.LoadMem(asm.R1, asm.R1, 0, asm.Word),
		asm.JEq.Imm(asm.R1, 0, "out"),
		asm.LoadMapPtr(asm.R1, p.Sockets.FD()),
		asm.LoadMem(asm.R2, asm.RFP, key, asm.Word),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnRedirectMap.Call(),
		asm.Return().WithSymbol("out"),
	}
}

// dropCode counts at the queue, where no other CPU counts at the same time as a
// rule. What comes by a queue that nobody knows counts at the first.
func dropCode(g *guard, queues uint32) asm.Instructions {
	const key = -4
	return asm.Instructions{
		asm.LoadMem(asm.R1, regCtx, ctxQueue, asm.Word).WithSymbol("drop"),
		asm.JLT.Imm(asm.R1, int32(queues), "known"),
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.RFP, key, asm.R1, asm.Word).WithSymbol("known"),
		asm.LoadMapPtr(asm.R1, g.drops.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, key),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "dropped"), // never: the verifier does not know
		asm.Add.Reg(asm.R0, regDrop),
		asm.Mov.Imm(asm.R1, 1),
		asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0),
		asm.Mov.Imm(asm.R0, xdpDrop).WithSymbol("dropped"),
		asm.Return(),
	}
}
