package acl

// Failed returns the conditions of rule i that a packet fails, as Explain sees
// them; none for a default.
func Failed(p *Program, k *Key, s *Sets, i uint32) []string {
	if p.rules[i].Rule == nil {
		return nil
	}
	w := walk{k: k, known: p.sets}
	w.in[0], w.in[1] = s.of(k.family()).list(k.number(false)), s.of(k.family()).list(k.number(true))
	return w.failed(p.rules[i].Rule)
}

// Lookup maps numbers by borders, of which the first is at 0: the ranges under
// test, with as many steps as a search takes.
type Lookup struct{ r ranges }

func NewLookup(at [][2]uint64, values []uint32) Lookup {
	borders := make([]border, len(at))
	for i, x := range at {
		borders[i].at.Hi, borders[i].at.Lo, borders[i].value = x[0], x[1], values[i]
	}
	return Lookup{newRanges(borders)}
}

func (l Lookup) Find(hi, lo uint64) uint32 {
	var x border
	x.at.Hi, x.at.Lo = hi, lo
	return l.r.find(x.at)
}

// Size returns the words of memory that the tree takes, and its depth.
func (l Lookup) Size() (words, depth int) {
	return 3*len(l.r.nodes) + len(l.r.slots)/2, int(l.r.depth) + 1
}

// Stretches returns how many stretches and chunks a Store's index has.
func (st *Store) Stretches(v6 int) (stretches, chunks int) {
	for _, c := range st.index[v6].chunks {
		stretches += len(c.stretches)
	}
	return stretches, len(st.index[v6].chunks)
}

// MatchVector sets out[i] to what Match returns for keys[i], by batches of either
// family.
func (p *Program) MatchVector(keys []Key, s *Sets, hits []uint64, out []Verdict) {
	for family := range 2 {
		for from, n := 0, 0; from < len(keys); n = 0 {
			var at [BatchLen]int
			for ; from < len(keys) && n < BatchLen; from++ {
				if keys[from].family() == family {
					batch.Keys[n], at[n] = keys[from], from
					n++
				}
			}
			p.FindBatch(&batch, n, s, hits)
			for i := range n {
				v, logged := p.Found(&batch.Keys[i])
				out[at[i]] = *v
				out[at[i]].Log = logged
			}
		}
	}
}

var batch Batch
