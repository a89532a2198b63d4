"""The conntrack zone in which a gateway node keeps the flows of an egress id, worked out here.

The rules have the kernel choose it (rules/arriving.py): `ct original zone set jhash meta mark mod
65535 seed 0x1`, so an entry that is made for a flow must be put where its packets will look.
"""

from functools import lru_cache

_SEED = 1
_MODULUS = 65535
_GOLDEN = 0xDEADBEEF  # linux/jhash.h: JHASH_INITVAL
_LENGTH = 4  # bytes of a packet mark
_ROTATIONS = (14, 11, 25, 16, 4, 14, 24)  # linux/jhash.h: __jhash_final


@lru_cache(maxsize=1 << 16)
def zone(egress_id: int) -> int:
    """The zone of an id's flows, in the original direction only; 0 to 65534."""
    # nft_hash.c: reciprocal_scale(jhash(register, 4, seed), modulus).
    return (_jhash(egress_id) * _MODULUS) >> 32


def _jhash(word: int) -> int:
    """linux/jhash.h: jhash of one word that lies in memory as on a little-endian machine."""
    start = (_GOLDEN + _LENGTH + _SEED) & 0xFFFFFFFF
    values = [(start + word) & 0xFFFFFFFF, start, start]
    # c ^= b, c -= rol(b); a ^= c, a -= rol(c); b ^= a, b -= rol(a); and so on.
    for step, rotation in enumerate(_ROTATIONS):
        target, by = (2 - 2 * step) % 3, (1 - 2 * step) % 3
        turned = (values[by] << rotation | values[by] >> (32 - rotation)) & 0xFFFFFFFF
        values[target] = ((values[target] ^ values[by]) - turned) & 0xFFFFFFFF
    return values[2]
