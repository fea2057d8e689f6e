package api

//go:generate protoc --go_out=skeinpb --go_opt=paths=source_relative --go-grpc_out=skeinpb --go-grpc_opt=paths=source_relative skein.proto
