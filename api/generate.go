package api

//go:generate protoc --go_out=skeinpb --go_opt=paths=source_relative --go-grpc_out=skeinpb --go-grpc_opt=paths=source_relative skein.proto
//go:generate protoc --proto_path=calicopb --go_out=calicopb --go_opt=paths=source_relative --go-grpc_out=calicopb --go-grpc_opt=paths=source_relative calico.proto
