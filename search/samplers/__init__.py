"""Who proposes the next plan: one file a sampler."""
