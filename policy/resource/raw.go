package resource

// The resources as users write them. Field names and what they mean are those
// of the Kubernetes API reference and of Calico's reference of resources.

type object[T any] struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       T        `yaml:"spec"`
	Status     ignored  `yaml:"status"`
}

// A head is what all resources have.
type head struct {
	_          loose
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		_         loose
		Name      string            `yaml:"name"`
		Namespace string            `yaml:"namespace"`
		Labels    map[string]string `yaml:"labels"`
	} `yaml:"metadata"`
}

type metadata struct {
	Name                       string            `yaml:"name"`
	Namespace                  string            `yaml:"namespace"`
	Labels                     map[string]string `yaml:"labels"`
	Annotations                ignored           `yaml:"annotations"`
	GenerateName               ignored           `yaml:"generateName"`
	CreationTimestamp          ignored           `yaml:"creationTimestamp"`
	DeletionTimestamp          ignored           `yaml:"deletionTimestamp"`
	DeletionGracePeriodSeconds ignored           `yaml:"deletionGracePeriodSeconds"`
	Finalizers                 ignored           `yaml:"finalizers"`
	Generation                 ignored           `yaml:"generation"`
	ManagedFields              ignored           `yaml:"managedFields"`
	OwnerReferences            ignored           `yaml:"ownerReferences"`
	ResourceVersion            ignored           `yaml:"resourceVersion"`
	SelfLink                   ignored           `yaml:"selfLink"`
	UID                        ignored           `yaml:"uid"`
}

// networking.k8s.io/v1.

type kubePolicy struct {
	PodSelector labelSelector `yaml:"podSelector"`
	PolicyTypes []string      `yaml:"policyTypes"`
	Ingress     []kubeIngress `yaml:"ingress"`
	Egress      []kubeEgress  `yaml:"egress"`
}

type kubeIngress struct {
	From  []kubePeer `yaml:"from"`
	Ports []kubePort `yaml:"ports"`
}

type kubeEgress struct {
	To    []kubePeer `yaml:"to"`
	Ports []kubePort `yaml:"ports"`
}

type kubePeer struct {
	PodSelector       *labelSelector `yaml:"podSelector"`
	NamespaceSelector *labelSelector `yaml:"namespaceSelector"`
	IPBlock           *ipBlock       `yaml:"ipBlock"`
}

type ipBlock struct {
	CIDR   string   `yaml:"cidr"`
	Except []string `yaml:"except"`
}

type kubePort struct {
	Protocol string `yaml:"protocol"`
	Port     intOr  `yaml:"port"`
	EndPort  *int   `yaml:"endPort"`
}

type labelSelector struct {
	MatchLabels      map[string]string `yaml:"matchLabels"`
	MatchExpressions []requirement     `yaml:"matchExpressions"`
}

type requirement struct {
	Key      string   `yaml:"key"`
	Operator string   `yaml:"operator"`
	Values   []string `yaml:"values"`
}

// projectcalico.org/v3.

type calicoPolicy struct {
	Tier                   string       `yaml:"tier"`
	Order                  *float64     `yaml:"order"`
	Selector               string       `yaml:"selector"`
	NamespaceSelector      string       `yaml:"namespaceSelector"`
	ServiceAccountSelector string       `yaml:"serviceAccountSelector"`
	Types                  []string     `yaml:"types"`
	Ingress                []calicoRule `yaml:"ingress"`
	Egress                 []calicoRule `yaml:"egress"`
	DoNotTrack             bool         `yaml:"doNotTrack"`
	PreDNAT                bool         `yaml:"preDNAT"`
	ApplyOnForward         bool         `yaml:"applyOnForward"`
	PerformanceHints       unsupported  `yaml:"performanceHints"`
}

type calicoRule struct {
	Action      string       `yaml:"action"`
	IPVersion   *int         `yaml:"ipVersion"`
	Protocol    intOr        `yaml:"protocol"`
	NotProtocol intOr        `yaml:"notProtocol"`
	ICMP        *icmpFields  `yaml:"icmp"`
	NotICMP     *icmpFields  `yaml:"notICMP"`
	Source      entityFields `yaml:"source"`
	Destination entityFields `yaml:"destination"`
	HTTP        unsupported  `yaml:"http"`
	Metadata    ignored      `yaml:"metadata"`
}

type icmpFields struct {
	Type *int `yaml:"type"`
	Code *int `yaml:"code"`
}

type entityFields struct {
	Nets              []string        `yaml:"nets"`
	NotNets           []string        `yaml:"notNets"`
	Selector          string          `yaml:"selector"`
	NotSelector       string          `yaml:"notSelector"`
	NamespaceSelector string          `yaml:"namespaceSelector"`
	Ports             []intOr         `yaml:"ports"`
	NotPorts          []intOr         `yaml:"notPorts"`
	ServiceAccounts   *serviceAccount `yaml:"serviceAccounts"`
	Services          *serviceFields  `yaml:"services"`
	Domains           unsupported     `yaml:"domains"`
}

type serviceAccount struct {
	Names    []string `yaml:"names"`
	Selector string   `yaml:"selector"`
}

type serviceFields struct {
	Name      string `yaml:"name"`
	Namespace string `yaml:"namespace"`
}

type calicoNets struct {
	Nets                 []string    `yaml:"nets"`
	AllowedEgressDomains unsupported `yaml:"allowedEgressDomains"`
}

type calicoTier struct {
	Order         *float64 `yaml:"order"`
	DefaultAction string   `yaml:"defaultAction"`
}

type calicoProfile struct {
	Ingress       []calicoRule      `yaml:"ingress"`
	Egress        []calicoRule      `yaml:"egress"`
	LabelsToApply map[string]string `yaml:"labelsToApply"`
}

type calicoHost struct {
	Node          string      `yaml:"node"`
	InterfaceName string      `yaml:"interfaceName"`
	ExpectedIPs   []string    `yaml:"expectedIPs"`
	Profiles      []string    `yaml:"profiles"`
	Ports         []namedPort `yaml:"ports"`
}

type namedPort struct {
	Name     string `yaml:"name"`
	Protocol intOr  `yaml:"protocol"`
	Port     int    `yaml:"port"`
}

// Resources of which policy needs a part only; the others' fields are left to
// others.

type endpointSlice struct {
	_           loose
	Metadata    metadata        `yaml:"metadata"`
	AddressType string          `yaml:"addressType"`
	Endpoints   []sliceEndpoint `yaml:"endpoints"`
	Ports       []slicePort     `yaml:"ports"`
}

type sliceEndpoint struct {
	_         loose
	Addresses []string `yaml:"addresses"`
}

type slicePort struct {
	_        loose
	Name     string `yaml:"name"`
	Protocol string `yaml:"protocol"`
	Port     int    `yaml:"port"`
}

type podObject struct {
	_    loose
	Spec struct {
		_                  loose
		ServiceAccountName string `yaml:"serviceAccountName"`
		HostNetwork        bool   `yaml:"hostNetwork"`
		Containers         []struct {
			_     loose
			Ports []containerPort `yaml:"ports"`
		} `yaml:"containers"`
	} `yaml:"spec"`
	Status struct {
		_      loose
		Phase  string `yaml:"phase"`
		PodIP  string `yaml:"podIP"`
		PodIPs []struct {
			_  loose
			IP string `yaml:"ip"`
		} `yaml:"podIPs"`
	} `yaml:"status"`
}

type containerPort struct {
	_             loose
	Name          string `yaml:"name"`
	Protocol      string `yaml:"protocol"`
	ContainerPort int    `yaml:"containerPort"`
}
