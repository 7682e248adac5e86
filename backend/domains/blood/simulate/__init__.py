"""A synthetic but honest blood service in Kerala: labels come from simulated behaviour, never from a score."""

from backend.domains.blood.simulate.parameters import WorldParameters
from backend.domains.blood.simulate.world import Truth, World, simulate

__all__ = ["Truth", "World", "WorldParameters", "simulate"]
