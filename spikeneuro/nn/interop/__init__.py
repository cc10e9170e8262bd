"""Networks built with snnTorch, SpikingJelly or Norse, brought over: same spikes, same gradients, or a refusal.

None of the frameworks is imported: modules are recognised by the name and home of their class and read through their
attributes. `docs/how-to/bring-a-network.md` lists what is converted.
"""

from spikeneuro.nn.interop.entry import from_norse, from_snntorch, from_spikingjelly

__all__ = ["from_norse", "from_snntorch", "from_spikingjelly"]
