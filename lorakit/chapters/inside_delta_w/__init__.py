"""08 · Inside ΔW: what an adapter learnt."""
