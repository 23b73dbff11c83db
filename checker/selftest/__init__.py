"""Does the checker find every known attack, and accuse nobody who is honest? python -m checker selftest

``trial`` is what an attack, a probe and an honest submission are. They stand one file a family: ``forged``,
``documents``, ``files``, ``archives``, ``cheats``, ``kernels`` and ``honest`` are submissions; ``escapes`` and
``resources`` are scripts in each tier of the sandbox; ``labs``, facts about the labs. ``catalogue`` lists them, and
what they must cover; ``changes`` are what attacks are made of; ``bench`` holds what all trials share, and ``host``
what probes may try to reach; ``run`` tries them; ``table`` says what came of it.
"""
