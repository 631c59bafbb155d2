"""Random dataflow graphs against token times worked out without any event queue."""

from random import Random

from tlm.kernel.dataflow import Graph, Node, NodeTimes, Port, run_graph


def token_times(graph):
    """Times of every node, and whether all came to their end.

    Token n of a channel can be taken once it has been put, and put once token n - depth has been taken; each node
    goes on until it needs a time that is not known yet, round after round, until no node gets further.
    """
    put_ps = [[] for _ in graph.depths]
    taken_ps = [[] for _ in graph.depths]
    times = {node.name: NodeTimes() for node in graph.nodes}

    def node_steps(node):
        clock = 0
        log = times[node.name]
        for service_ps in node.service_ps:
            for port in node.inputs:
                for _ in range(port.rate):
                    while len(put_ps[port.channel]) <= len(taken_ps[port.channel]):
                        yield
                    clock = max(clock, put_ps[port.channel][len(taken_ps[port.channel])])
                    taken_ps[port.channel].append(clock)
            log.begin.append(clock)
            clock += service_ps
            log.done.append(clock)
            for port in node.outputs:
                for _ in range(port.rate):
                    freed_by = len(put_ps[port.channel]) - graph.depths[port.channel]
                    while freed_by >= len(taken_ps[port.channel]):
                        yield
                    if freed_by >= 0:
                        clock = max(clock, taken_ps[port.channel][freed_by])
                    put_ps[port.channel].append(clock)
            log.sent.append(clock)

    running = [node_steps(node) for node in graph.nodes]
    while True:
        before = sum(map(len, put_ps + taken_ps))
        running = [steps for steps in running if next(steps, "ended") != "ended"]
        if not running:
            return times, True
        if before == sum(map(len, put_ps + taken_ps)):
            return times, False


def random_graph(seed):
    """Up to 5 nodes; every channel has one writer and one reader, loops and self-loops included."""
    random = Random(seed)
    count = random.randint(1, 5)
    matched = random.random() < 0.5  # same rates and lengths: these come to their end unless a loop stops them
    rates = [1] if matched else [1, 1, 1, 2, 3]
    items = random.randint(1, 12)
    depths, inputs, outputs = [], [[] for _ in range(count)], [[] for _ in range(count)]
    for channel in range(random.randint(0, 7)):
        depths.append(random.randint(1, 4))
        ends = [random.randrange(count), random.randrange(count)]
        if ends[0] == ends[1] or random.random() < 0.9:  # mostly without loops, or all would deadlock at once
            ends = sorted(random.sample(range(count), 2)) if count > 1 else ends
        outputs[ends[0]].append(Port(channel, random.choice(rates)))
        inputs[ends[1]].append(Port(channel, random.choice(rates)))
    for ports in inputs + outputs:
        random.shuffle(ports)
    services = [
        [random.randint(0, 8) for _ in range(items if matched else random.randint(0, 12))] for _ in range(count)
    ]
    nodes = zip(inputs, outputs, services, strict=True)
    return Graph(
        tuple(depths),
        tuple(Node(f"n{index}", *(tuple(part) for part in parts)) for index, parts in enumerate(nodes)),
    )


def test_random_graphs() -> None:
    """The graphs are worth something only if many come to their end and many deadlock."""
    endings = {True: 0, False: 0}
    for seed in range(600):
        graph = random_graph(seed)
        outcome = run_graph(graph)
        times, ended = token_times(graph)
        assert outcome.times == times, f"seed {seed}: {graph}"
        assert (outcome.deadlock is None) == ended, f"seed {seed}: {graph}"
        endings[ended] += 1
    assert min(endings.values()) > 100, endings


def test_order_of_nodes_changes_no_time() -> None:
    for seed in range(200):
        graph = random_graph(seed)
        forward, backward = run_graph(graph), run_graph(Graph(graph.depths, graph.nodes[::-1]))
        assert forward.times == backward.times, f"seed {seed}: {graph}"
        assert (forward.deadlock is None) == (backward.deadlock is None), f"seed {seed}: {graph}"
