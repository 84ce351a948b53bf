"""`dbmazz demo`: the whole stack with traffic, and the proof that nothing was lost on the way."""
