# Every target is a script, so that each can also be called by itself.
.PHONY: help run test lint openapi bench cluster faults image image-tar
.NOTPARALLEL:

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null || grep '##' Makefile

run: ## build, prepare a database with a demo event, start everything in one process
	@scripts/run.sh

test: ## all tests, against servers of their own
	@scripts/test.sh

lint: ## format, warnings, every feature alone, scripts
	@scripts/lint.sh

openapi: ## renew docs/openapi.json, and the web app's types of it, from the code
	@scripts/openapi.sh

bench: ## compare with the baselines, write docs/benchmarks.md
	@scripts/bench.sh

cluster: ## every role as its own process, with PostgreSQL and Apache Kafka
	@scripts/cluster.sh

image: ## the image that Kubernetes runs, with Docker, Podman or Buildah
	@scripts/image.sh build

image-tar: image ## the same as .dev/udaconnect-image.tar, for a node without a registry
	@mkdir -p .dev && scripts/image.sh save .dev/udaconnect-image.tar

faults: ## everything fails again and again while phones stream: minutes, for a release
	@scripts/faults.sh
