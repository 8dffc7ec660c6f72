#!/usr/bin/env bash
# A real one-node Kafka from its Maven jars, and its command line tools: to ask it how it answers, to
# run the same suites against it, to measure beside it. Needs Java 17, mvn and python3.
#
#   kafka.sh get                  the jars into $KAFKA_HOME/libs, once
#   kafka.sh start                a node on loopback; returns once it answers, and tells the seconds
#   kafka.sh stop                 ends it, and waits for that
#   kafka.sh wipe                 removes what a stopped node stored
#   kafka.sh tool CLASS [ARG]...  one of Kafka's tools
#
#   KAFKA_HOME      default: target/interop/kafka of this checkout
#   KAFKA_DATA      what one node keeps (settings, log, pid, records); default: $KAFKA_HOME/node
#   KAFKA_PORT      default: 19092; the port after it is the controller's
#   KAFKA_SETTINGS  more lines for server.properties
#   KAFKA_HEAP      of the node, default 1G
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
home=${KAFKA_HOME:-${TIDEGATE_INTEROP_CACHE:-$here/../../target/interop}/kafka}
home=$(realpath -m "$home")
node=${KAFKA_DATA:-$home/node}
port=${KAFKA_PORT:-19092}
heap=${KAFKA_HEAP:-1G}
# Of tools that live for seconds.
quick=(-Xmx512M -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xlog:cds=off -Xlog:cds+dynamic=off)

usage() { sed -n '5,9s/^# *//p' "$0" >&2; exit 2; }
jars() { if ! [ -f "$home/libs/.complete" ]; then "$0" get; fi; }
# A process that has ended and that nobody waits for keeps its number: it runs no more.
running() {
    [ -f "$node/pid" ] && case $(ps -o stat= -p "$(cat "$node/pid")") in '' | Z*) false ;; esac
}

settings() {
    cat <<P
process.roles=broker,controller
node.id=0
controller.quorum.voters=0@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
log.dirs=$node/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.partitions=4
${KAFKA_SETTINGS:-}
P
}

# Answers 0 once the node has sent a whole answer to an ApiVersions request (key 18, version 0).
probe() {
    python3 - "$port" "$(cat "$node/pid")" <<'P'
import socket, struct, subprocess, sys, time
port, pid = int(sys.argv[1]), int(sys.argv[2])
request = struct.pack(">hhih", 18, 0, 1, -1)
began = time.monotonic()
while time.monotonic() - began < 90:
    stat = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    if stat.stdout.strip()[:1] in ("", "Z"):
        sys.exit("the node ended before it answered")
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as line:
            line.sendall(struct.pack(">i", len(request)) + request)
            answer = line.makefile("rb")
            length, correlation, error = struct.unpack(">iih", answer.read(10))
            if correlation == 1 and error == 0 and len(answer.read(length - 6)) == length - 6:
                sys.exit(0)
    except (OSError, struct.error):
        pass
    time.sleep(0.05)
sys.exit("no answer in 90 s")
P
}

case ${1:-} in
get)
    if [ -f "$home/libs/.complete" ]; then exit 0; fi
    mkdir -p "$home"
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$home/libs" >&2
    # Half of what a tool takes is the loading of its classes: what a consumer that finds no broker
    # has loaded is kept for all of them.
    java "${quick[@]}" -XX:ArchiveClassesAtExit="$home/tools.jsa" -cp "$home/libs/*" \
        org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server 127.0.0.1:1 --topic none \
        --timeout-ms 300 >/dev/null 2>&1 || true
    touch "$home/libs/.complete"
    ;;
start)
    if running; then echo "already running as $(cat "$node/pid")" >&2; exit 1; fi
    jars
    mkdir -p "$node"
    node=$(realpath "$node")
    settings >"$node/server.properties"
    if ! [ -d "$node/data" ]; then
        id=$(java -cp "$home/libs/*" kafka.tools.StorageTool random-uuid 2>/dev/null)
        java -cp "$home/libs/*" kafka.tools.StorageTool format -t "$id" -c "$node/server.properties" >"$node/broker.log" 2>&1
    fi
    began=$(date +%s%N)
    # In a session of its own: whoever started the script may end its group.
    setsid nohup java -Xmx"$heap" -Xms"$heap" -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
        -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent \
        -cp "$home/libs/*" kafka.Kafka "$node/server.properties" >"$node/broker.log" 2>&1 </dev/null &
    echo $! >"$node/pid"
    probe || { tail -n 20 "$node/broker.log" >&2; exit 1; }
    echo "up after $((($(date +%s%N) - began) / 1000000)) ms"
    ;;
stop)
    if ! running; then exit 0; fi
    pid=$(cat "$node/pid")
    kill "$pid"
    for _ in $(seq 150); do running || break; sleep 0.2; done
    if running; then kill -9 "$pid"; fi
    rm -f "$node/pid"
    ;;
wipe)
    if running; then echo "still running as $(cat "$node/pid")" >&2; exit 1; fi
    rm -rf "$node/data"
    ;;
tool)
    shift
    if [ $# -eq 0 ]; then usage; fi
    jars
    if [ -f "$home/tools.jsa" ]; then quick+=(-XX:SharedArchiveFile="$home/tools.jsa"); fi
    exec java "${quick[@]}" -cp "$home/libs/*" "$@"
    ;;
*) usage ;;
esac
