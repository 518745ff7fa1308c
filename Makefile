SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin

.PHONY: proto
proto:  ## Remake the stubs under shared/pullwork/v1 from proto/
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto \
	  --python_out=shared --mypy_out=quiet:shared proto/pullwork/v1/*.proto
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto \
	  --grpc_python_out=shared --mypy_grpc_out=quiet:shared proto/pullwork/v1/*_service.proto
