"""The rules of diagnosis, one function each, in a module for each link of the chain.

A rule is a generator over a :class:`~mcs_controller.diagnosis.world.World`. It yields what is wrong, and lets
:class:`~mcs_controller.diagnosis.world.Unseen` pass: the diagnosis then says that it could not look. A rule about
members is called once for each, so that one that cannot be seen hides no other.
"""

from mcs_controller.diagnosis.rules import clusters as clusters
from mcs_controller.diagnosis.rules import consumer as consumer
from mcs_controller.diagnosis.rules import declaration as declaration
from mcs_controller.diagnosis.rules import delivery as delivery
from mcs_controller.diagnosis.rules import installation as installation
from mcs_controller.diagnosis.rules import provider as provider
from mcs_controller.diagnosis.rules import selection as selection
from mcs_controller.diagnosis.rules import traffic as traffic
from mcs_controller.diagnosis.rules.rule import RULES as RULES
from mcs_controller.diagnosis.rules.rule import Rule as Rule
