"""A plain design for tests of what a config says: doses in shares of the norm, as the study has its lengths.

The default experiment's doses are in nats, which many combinations refuse before the slip that a test is about.
"""

import yaml

SHARES = yaml.safe_load("""\
prompts: {contrast: {templates: [sub_behaviours], fills: 2}}
probes: {folds: leave_one_out}
vectors:
  methods: [sae_probe, sae_probe_top, raw_probe, logistic_probe, raptor, mean_difference, lda, pca, prompt_vector,
    shuffled, random]
  random_draws: 4
  chance_draws: 0
  calibration_doses: [0.2, 0.4, 0.6]
  comparison_kl: 0.2
rollouts:
  action_weights: {ask_user: 1}
  unit: residual_share
  study: {method: sae_probe, doses: [0.2, 0.4, 0.6], decode_dose: 0.4}
  controls: {dose: 0.4, methods: [mean_difference, raw_probe], random: 4, random_kinds: [random]}
statistics: {confirmatory: {method: sae_probe, dose: 0.4}}
""")
