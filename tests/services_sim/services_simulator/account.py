"""An account of nodes, kept from the outside: who has which room, ports and names after a plan."""

from __future__ import annotations

from collections import defaultdict

from simulator.story import require

from pullwork_master.reconciler.model import Instance, Node, Plan, Seen, Start, Wanted


class Account:
    """What is on each node, what it is called, and what a plan adds."""

    def __init__(self, seen: Seen, plan: Plan, made_of: dict[bytes, Wanted]) -> None:
        self.seen = seen
        self.plan = plan
        self.made_of = made_of
        self.nodes: dict[str, Node] = {node.name: node for node in seen.nodes}
        self.stopped = {stop.task_id for stop in plan.stops}
        # A plan that reached its bounds says nothing about what it left.
        self.cut_short = len(plan.starts) >= 50
        # By node: (id, task) of all that is there, each id once; the task tells its room.
        self.on: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for remnant in seen.remnants:
            self.on[remnant.node][remnant.id] = remnant.task_id
        for ended in seen.ended:
            self.on[ended.instance.node][ended.instance.id] = ended.instance.task_id
        for each in seen.instances:
            self.on[each.node][each.id] = each.task_id

    def check_places(self) -> None:
        """Whatever is started is started where that can be: no node takes more than it has."""
        ends = {(it.instance.node, it.instance.id) for it in self.seen.ended}
        touched = set()
        for start in self.plan.starts:
            node = self.nodes.get(start.node)
            require(node is not None, "what is started has a node", start)
            assert node is not None
            require(not node.gone_since_ms, "nothing starts on a node out of reach", start)
            require(not node.draining, "nothing starts on a node that drains", start)
            require(start.runner in node.runners, "a node runs only what it offers", start)
            if (start.node, start.id) not in ends:
                touched.add(start.node)
        added: defaultdict[str, list[Start]] = defaultdict(list)
        for start in self.plan.starts:
            if start.id not in self.on[start.node]:
                added[start.node].append(start)
        for name in touched:
            self._check_room(self.nodes[name], added[name])

    def _check_room(self, node: Node, starts: list[Start]) -> None:
        seen, there = self.seen, self.on[node.name]
        new = [self.made_of[start.template] for start in starts]
        count = len(there) + len(new)
        require(count <= node.instances_max, "no node takes more than it may", node.name, count)
        taken = [seen.room.get(task_id, (0.0, 0)) for task_id in there.values()]
        if node.memory_bytes and any(it.memory_bytes for it in new):
            memory = sum(each[1] for each in taken) + sum(it.memory_bytes for it in new)
            require(memory <= node.memory_bytes, "memory is never overbooked", node.name, memory)
        if node.cpus and any(it.cpus for it in new):
            cpus = sum(each[0] for each in taken) + sum(it.cpus for it in new)
            require(cpus <= node.cpus + 0.001, "processors are never overbooked", node.name, cpus)
        ports = [port for task_id in there.values() for port in seen.host_ports.get(task_id, ())]
        mine = [port for it in new for port in it.host_ports]
        clash = (set(ports) & set(mine)) or (len(set(mine)) < len(mine))
        require(not clash, "no two have one port of a node", node.name, ports, mine)

    def check_ids(self) -> None:
        """No two have one id, neither now nor when the plan is performed."""
        live = {each.id for each in self.seen.instances}
        left = {each.id for each in self.seen.remnants}
        ended = {each.instance.id: each.instance.task_id for each in self.seen.ended}
        begun: set[str] = set()
        for start in self.plan.starts:
            require(start.id not in live, "no two have one id", start.id)
            require(start.id not in begun, "no two have one id", start.id)
            own = start.id in ended
            require(own or start.id not in left, "an id is free when nothing is left", start.id)
            begun.add(start.id)

    def to_leave(self, each: Instance, wanted: Wanted) -> bool:
        """Says whether an instance is to leave its node."""
        node = self.nodes.get(each.node)
        if node is None or node.gone_since_ms:
            return False
        labels = not set(wanted.constraints) - set(node.labels)
        return node.draining or not labels or wanted.runner not in node.runners

    def takes(self, node: Node, start: Start, wanted: Wanted, has: int) -> bool:
        """Says whether a node could have taken what was started elsewhere, by a plan of these."""
        if node.gone_since_ms or node.draining or start.runner not in node.runners:
            return False
        if set(wanted.constraints) - set(node.labels):
            return False
        if wanted.max_per_node and has >= wanted.max_per_node:
            return False
        there, seen = self.on[node.name], self.seen
        made_of = self.made_of[start.template]
        new = [self.made_of[it.template] for it in self.plan.starts if it.node == node.name]
        passing = sum(it.service == start.service for it in seen.remnants if it.node == node.name)
        if wanted.max_per_node and has + passing >= wanted.max_per_node:
            return False
        if len(there) + len(new) >= node.instances_max:
            return False
        taken = [seen.room.get(task_id, (0.0, 0)) for task_id in there.values()]
        memory = sum(it[1] for it in taken) + sum(it.memory_bytes for it in (*new, made_of))
        cpus = sum(it[0] for it in taken) + sum(it.cpus for it in (*new, made_of))
        if made_of.memory_bytes and node.memory_bytes and memory > node.memory_bytes:
            return False
        if made_of.cpus and node.cpus and cpus > node.cpus:
            return False
        ports = {port for task_id in there.values() for port in seen.host_ports.get(task_id, ())}
        ports.update(port for it in new for port in it.host_ports)
        return not ports & set(made_of.host_ports)
