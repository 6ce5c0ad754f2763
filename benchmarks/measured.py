"""What a run of the benchmark found, as it is kept."""

from __future__ import annotations

import msgspec

from benchmarks.machine import Machine


class Results(msgspec.Struct, kw_only=True, frozen=True):
    """What one run found.

    Attributes:
        machine: on which it ran.
        hops: names, from the ready Pod to the first answer.
        ours: those of them that the controller does.
        rounds: for each round the seconds of each hop; the first, being ready, is 0.
        asking_interval: seconds from one question of the client's to the next.
        questions: how many it asked, in all rounds and between them.
        unanswered: how many of them got no answer.
    """

    machine: Machine
    hops: list[str]
    ours: list[str]
    rounds: list[list[float]]
    asking_interval: float
    questions: int
    unanswered: int

    def each(self, hop: int) -> list[float]:
        """The seconds of one hop in every round, by its index."""
        return [seconds[hop] for seconds in self.rounds]

    def since(self, hop: int) -> list[float]:
        """The seconds from the ready Pod to the end of one hop in every round."""
        return [sum(seconds[: hop + 1]) for seconds in self.rounds]

    def our_share(self) -> list[float]:
        """The seconds of the controller's hops in every round."""
        mine = [index for index, name in enumerate(self.hops) if name in self.ours]
        return [sum(seconds[index] for index in mine) for seconds in self.rounds]
