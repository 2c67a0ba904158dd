"""Chat templates in the shape of public models' own, written for these tests, and how each model writes a call.

A shape keeps what decides whether an agent can be read: the marks and whether they are control tokens, where the tools
stand, what is left out beside a call, how a turn ends, what the prompt opens, and what the template refuses.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

CHATML = ("<|im_start|>", "<|im_end|>")


@dataclass(frozen=True)
class Shape:
    template: str
    control: tuple[str, ...]
    """Special tokens, the end of turn first."""
    marks: tuple[str, ...] = ()
    """Other added tokens."""
    call: Callable[[str, dict[str, str]], str] | None = None
    """How the model writes a call; None where the template is refused."""
    quoted: str = ""
    """Where the form can't hold its own marks in an argument: what the test's argument says instead."""
    thinks: str = ""
    """What the model writes before its call when it thinks."""
    ends: str = ""
    """What ends a turn with a call, where that is not the first control token."""
    says: str = "{}"
    """How a final answer is written."""


def compact(name, arguments):
    return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)


def parameters(name, arguments):
    return json.dumps({"name": name, "parameters": arguments}, ensure_ascii=False)


def hermes(name, arguments):
    return f"<tool_call>\n{compact(name, arguments)}\n</tool_call>"


def qwen_xml(name, arguments):
    inner = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in arguments.items())
    return f"<tool_call>\n<function={name}>\n{inner}</function>\n</tool_call>"


def glm(name, arguments):
    pairs = [f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n" for key, value in arguments.items()]
    return f"<tool_call>{name}\n{''.join(pairs)}</tool_call>"


def glm_tight(name, arguments):
    pairs = [f"<arg_key>{key}</arg_key><arg_value>{value}</arg_value>" for key, value in arguments.items()]
    return f"<tool_call>{name}{''.join(pairs)}</tool_call>"


def minimax(name, arguments):
    inner = "".join(f'<parameter name="{key}">{value}</parameter>\n' for key, value in arguments.items())
    return f'<minimax:tool_call>\n<invoke name="{name}">\n{inner}</invoke>\n</minimax:tool_call>'


def mistral_list(name, arguments):
    inner = {"name": name, "arguments": arguments, "id": "abc123def"}
    return f"[TOOL_CALLS] [{json.dumps(inner, ensure_ascii=False)}]"


def mistral_v11(name, arguments):
    return f"[TOOL_CALLS]{name}[CALL_ID]abc123def[ARGS]{json.dumps(arguments, ensure_ascii=False)}"


def mistral_v13(name, arguments):
    return f"[TOOL_CALLS]{name}[ARGS]{json.dumps(arguments, ensure_ascii=False)}"


def deepseek(name, arguments):
    told = json.dumps(arguments, ensure_ascii=False)
    return (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>"
        f"{name}\n```json\n{told}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    )


def deepseek_v31(name, arguments):
    told = json.dumps(arguments, ensure_ascii=False)
    return (
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{told}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    )


def kimi(name, arguments):
    told = json.dumps(arguments, ensure_ascii=False)
    return (
        f"<|tool_calls_section_begin|><|tool_call_begin|>functions.{name}:0<|tool_call_argument_begin|>{told}"
        "<|tool_call_end|><|tool_calls_section_end|>"
    )


def lfm(name, arguments):
    inner = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return f"<|tool_call_start|>[{name}({inner})]<|tool_call_end|>"


def gemma4(name, arguments):
    inner = ",".join(f'{key}:<|"|>{value}<|"|>' for key, value in arguments.items())
    return f"<|tool_call>call:{name}{{{inner}}}<tool_call|>"


def harmony(name, arguments):
    told = json.dumps(arguments, ensure_ascii=False)
    return f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{told}"


def granite3(name, arguments):
    return f"<|tool_call|>[{compact(name, arguments)}]"


def chat(system, user, tool, assistant, asks, before="", behind=""):
    """A template from what it writes for each role; `{{ c }}` is a message's content."""
    return (
        f"{before}{{% for m in messages %}}{{% set c = m.content %}}"
        f"{{% if m.role == 'system' %}}{system}{{% elif m.role == 'user' %}}{user}"
        f"{{% elif m.role == 'tool' %}}{tool}{{% else %}}{assistant}{{% endif %}}{{% endfor %}}{behind}"
        f"{{% if add_generation_prompt %}}{asks}{{% endif %}}"
    )


def calls(each, first="", last="", arguments="f.arguments | tojson"):
    """What a template writes for the calls of a turn; `{{ f.name }}` and `{{ a }}` in `each`."""
    return (
        f"{{% if m.tool_calls %}}{first}{{% for call in m.tool_calls %}}{{% set f = call.function %}}"
        f"{{% set a = {arguments} %}}{each}{{% endfor %}}{last}{{% endif %}}"
    )


def items(each):
    """What a template writes for each argument."""
    return f"{{% for k, v in f.arguments.items() %}}{each}{{% endfor %}}"


NL = "{{ '\\n' }}"
"""A line break that Jinja's trimming leaves alone."""
TOOLS = "{{ tools | tojson }}"
JSON_CALL = '{"name": "{{ f.name }}", "arguments": {{ a }}}'
HERMES_CALL = f"{NL}<tool_call>{NL}{JSON_CALL}{NL}</tool_call>"
XML_CALL = (
    f"{NL}<tool_call>{NL}<function={{{{ f.name }}}}>{NL}"
    + items(f"<parameter={{{{ k }}}}>{NL}{{{{ v }}}}{NL}</parameter>{NL}")
    + f"</function>{NL}</tool_call>"
)
IM = "<|im_start|>{{ m.role }}" + NL + "{{ c }}<|im_end|>" + NL
IM_TOOL = f"<|im_start|>user{NL}<tool_response>{NL}{{{{ c }}}}{NL}</tool_response><|im_end|>{NL}"
IM_SYSTEM = f"<|im_start|>system{NL}{{{{ c }}}}{NL}{TOOLS}<|im_end|>{NL}"
NO_THOUGHTS = (
    f"{{% if enable_thinking is defined and not enable_thinking %}}<think>{NL}{NL}</think>{NL}{NL}{{% endif %}}"
)


def chatml(turn_calls, asks="", said="{{ c }}", tool=IM_TOOL, **more):
    assistant = f"<|im_start|>assistant{NL}{said}{turn_calls}<|im_end|>{NL}"
    return chat(IM_SYSTEM, IM, tool, assistant, f"<|im_start|>assistant{NL}{asks}", **more)


QWEN_MARKS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")
LLAMA = ("<|eot_id|>", "<|eom_id|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>")


def llama3(date):
    head = f"<|start_header_id|>{{{{ m.role }}}}<|end_header_id|>{NL}{NL}"
    one = "{% if m.tool_calls | length > 1 %}{{ raise_exception('one call at a time') }}{% endif %}"
    called = f'{head}{{"name": "{{{{ f.name }}}}", "parameters": {{{{ a }}}}}}<|eot_id|>'
    return chat(
        f"{head}Environment: ipython{NL}Today: {date}{NL}{{{{ c }}}}<|eot_id|>",
        f"{head}Here are functions; answer in JSON.{NL}{TOOLS}{NL}{{{{ c }}}}<|eot_id|>",
        f"<|start_header_id|>ipython<|end_header_id|>{NL}{NL}{{{{ c | tojson }}}}<|eot_id|>",
        f"{{% if m.tool_calls %}}{one}{calls(called)}{{% else %}}{head}{{{{ c }}}}<|eot_id|>{{% endif %}}",
        f"<|start_header_id|>assistant<|end_header_id|>{NL}{NL}",
        before="<|begin_of_text|>",
    )


LLAMA4 = chat(
    f"<|header_start|>system<|header_end|>{NL}{NL}{{{{ c }}}}{NL}{TOOLS}<|eot|>",
    f"<|header_start|>user<|header_end|>{NL}{NL}{{{{ c }}}}<|eot|>",
    f"<|header_start|>ipython<|header_end|>{NL}{NL}{{{{ c | tojson }}}}<|eot|>",
    f"<|header_start|>assistant<|header_end|>{NL}{NL}{{% if m.tool_calls %}}<|python_start|>{{{{ c }}}}<|python_end|>"
    + calls('{"name": "{{ f.name }}", "parameters": {{ a }}}')
    + "{% else %}{{ c }}{% endif %}<|eot|>",
    f"<|header_start|>assistant<|header_end|>{NL}{NL}",
)
MISTRAL = ("</s>", "<s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
           "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[TOOL_CONTENT]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[ARGS]",
           "[CALL_ID]", "[THINK]", "[/THINK]")  # fmt: skip
NINE = "{% if call.id | length != 9 %}{{ raise_exception('ids have nine letters') }}{% endif %}"
MISTRAL_LIST = calls(f'{NINE}{{{{ (f | tojson)[:-1] }}}}, "id": "{{{{ call.id }}}}"}}', "[TOOL_CALLS] [", "]</s>")
MISTRAL_V3 = chat(
    "",
    f"[AVAILABLE_TOOLS] {TOOLS}[/AVAILABLE_TOOLS][INST] {{{{ messages[0].content }}}}{NL}{NL}{{{{ c }}}}[/INST]",
    '[TOOL_RESULTS] {"content": {{ c | tojson }}, "call_id": "{{ m.tool_call_id }}"}[/TOOL_RESULTS]',
    f"{{% if m.tool_calls %}}{MISTRAL_LIST}{{% else %}} {{{{ c }}}}</s>{{% endif %}}",
    "",
    before="<s>",
)


def mistral(turn_calls, tool="[TOOL_RESULTS]{{ m.tool_call_id }}[TOOL_CONTENT]{{ c }}[/TOOL_RESULTS]"):
    return chat(
        f"[SYSTEM_PROMPT]{{{{ c }}}}[/SYSTEM_PROMPT][AVAILABLE_TOOLS]{TOOLS}[/AVAILABLE_TOOLS]",
        "[INST]{{ c }}[/INST]",
        tool,
        f"{{{{ c }}}}{turn_calls}</s>",
        "",
        before="<s>",
    )


GRANITE = ("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>")
ROLE = "<|start_of_role|>{{ m.role }}<|end_of_role|>{{ c }}"
GRANITE3 = chat(
    f"{ROLE}<|end_of_text|>{NL}<|start_of_role|>tools<|end_of_role|>{TOOLS}<|end_of_text|>{NL}",
    f"{ROLE}<|end_of_text|>{NL}",
    f"<|start_of_role|>tool_response<|end_of_role|>{{{{ c }}}}<|end_of_text|>{NL}",
    f"{ROLE}<|end_of_text|>{NL}",
    "<|start_of_role|>assistant<|end_of_role|>",
)
GRANITE4 = chat(
    f"{ROLE}{NL}{TOOLS}<|end_of_text|>{NL}",
    f"{ROLE}<|end_of_text|>{NL}",
    f"<|start_of_role|>user<|end_of_role|><tool_response>{NL}{{{{ c }}}}{NL}</tool_response><|end_of_text|>{NL}",
    f"{ROLE}{calls(HERMES_CALL)}<|end_of_text|>{NL}",
    "<|start_of_role|>assistant<|end_of_role|>",
)
GLM = ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
GLM_MARKS = (*QWEN_MARKS, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")


def glm4(pair, between, thought):
    called = f"{between}<tool_call>{{{{ f.name }}}}{between}{items(pair)}</tool_call>"
    return chat(
        f"<|system|>{NL}{{{{ c }}}}{NL}{TOOLS}",
        f"<|user|>{NL}{{{{ c }}}}/nothink",
        f"<|observation|>{NL}<tool_response>{NL}{{{{ c }}}}{NL}</tool_response>",
        f"<|assistant|>{thought}{{% if c.strip() %}}{between}{{{{ c.strip() }}}}{{% endif %}}{calls(called)}",
        f"<|assistant|>{thought}",
        before="[gMASK]<sop>",
    )


DEEPSEEK = ("<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>",
            *(f"<｜tool▁{word}｜>" for word in ("calls▁begin", "calls▁end", "call▁begin", "call▁end", "sep",
                                              "outputs▁begin", "outputs▁end", "output▁begin",
                                              "output▁end")))  # fmt: skip
DEEPSEEK_TOOL = "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>{{ c }}<｜tool▁output▁end｜><｜tool▁outputs▁end｜>"


def deepseek_template(one, tools=TOOLS, asks="<｜Assistant｜>"):
    section = calls(one, "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", arguments="f.arguments")
    return chat(
        f"{{{{ c }}}}{NL}{tools}",
        "<｜User｜>{{ c }}",
        DEEPSEEK_TOOL,
        f"<｜Assistant｜>{{% if m.tool_calls %}}{section}{{% else %}}{{{{ c }}}}{{% endif %}}<｜end▁of▁sentence｜>",
        f"{{% if messages[-1].role != 'tool' %}}{asks}{{% endif %}}",
        before="<｜begin▁of▁sentence｜>",
    )


V3_CALL = (
    "<｜tool▁call▁begin｜>{{ call.type }}<｜tool▁sep｜>{{ f.name }}"
    "{{ '\\n```json\\n' + f.arguments + '\\n```' }}<｜tool▁call▁end｜>"
)
V31_CALL = "{{ '<｜tool▁call▁begin｜>' + f.name + '<｜tool▁sep｜>' + f.arguments + '<｜tool▁call▁end｜>' }}"
KIMI = ("<|im_end|>", "<|im_user|>", "<|im_assistant|>", "<|im_system|>", "<|im_middle|>",
        "<|tool_calls_section_begin|>",
        "<|tool_calls_section_end|>", "<|tool_call_begin|>", "<|tool_call_argument_begin|>",
        "<|tool_call_end|>")  # fmt: skip
KIMI_CALL = "<|tool_call_begin|>{{ call.id }}<|tool_call_argument_begin|>{{ a }}<|tool_call_end|>"
KIMI_SECTION = calls(KIMI_CALL, "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>")
KIMI_K2 = chat(
    "<|im_system|>system<|im_middle|>{{ c }}<|im_end|>",
    "<|im_user|>user<|im_middle|>{{ c }}<|im_end|>",
    f"<|im_system|>tool<|im_middle|>## Return of {{{{ m.tool_call_id }}}}{NL}{{{{ c }}}}<|im_end|>",
    f"<|im_assistant|>assistant<|im_middle|>{{{{ c }}}}{KIMI_SECTION}<|im_end|>",
    "<|im_assistant|>assistant<|im_middle|>",
    before=f"<|im_system|>tool_declare<|im_middle|>{TOOLS}<|im_end|>",
)
LFM = ("<|im_end|>", "<|im_start|>", "<|tool_call_start|>", "<|tool_call_end|>", "<|tool_list_start|>")
LFM25_CALL = calls(
    "{{ f.name }}(" + items("{{ k }}='{{ v }}'{% if not loop.last %}, {% endif %}") + ")",
    "<|tool_call_start|>[",
    "]<|tool_call_end|>",
)
MINIMAX = ("[e~[", "]~!b[", "]~b]")
MINIMAX_MARKS = ("<minimax:tool_call>", "</minimax:tool_call>", "<think>", "</think>")
MINIMAX_CALL = calls(
    f'<invoke name="{{{{ f.name }}}}">{NL}'
    + items(f'<parameter name="{{{{ k }}}}">{{{{ v }}}}</parameter>{NL}')
    + f"</invoke>{NL}",
    f"{NL}<minimax:tool_call>{NL}",
    "</minimax:tool_call>",
)
MINIMAX_M2 = chat(
    f"]~!b[]~b]system{NL}{{{{ c }}}}{NL}{TOOLS}[e~[{NL}",
    f"]~b]user{NL}{{{{ c }}}}[e~[{NL}",
    "{% if not messages[loop.index0 - 1].tool_calls %}{{ raise_exception('an answer without a call') }}{% endif %}"
    f"]~b]tool{NL}<response>{{{{ c }}}}</response>[e~[{NL}",
    f"]~b]ai{NL}{{{{ c }}}}{MINIMAX_CALL}[e~[{NL}",
    f"]~b]ai{NL}<think>{NL}",
)
GPT_OSS = ("<|return|>", "<|call|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>")
GPT_OSS_CALL = calls(
    "{% if c %}<|start|>assistant<|channel|>analysis<|message|>{{ c }}<|end|>{% endif %}"
    "<|start|>assistant to=functions.{{ f.name }}<|channel|>commentary json<|message|>{{ a }}<|call|>"
)
GPT_OSS_TEMPLATE = chat(
    f"<|start|>developer<|message|>{{{{ c }}}}{NL}{TOOLS}<|end|>",
    "<|start|>user<|message|>{{ c }}<|end|>",
    "{% set name = messages[loop.index0 - 1].tool_calls[0].function.name %}"
    "<|start|>functions.{{ name }} to=assistant<|channel|>commentary<|message|>{{ c | tojson }}<|end|>",
    f"{{% if m.tool_calls %}}{GPT_OSS_CALL}{{% else %}}<|start|>assistant<|channel|>final<|message|>{{{{ c }}}}"
    "{% if loop.last %}<|return|>{% else %}<|end|>{% endif %}{% endif %}",
    "<|start|>assistant",
)
GEMMA2 = chat(
    "{{ raise_exception('System role not supported') }}",
    f"<start_of_turn>user{NL}{{{{ c }}}}<end_of_turn>{NL}",
    "",
    f"<start_of_turn>model{NL}{{{{ c }}}}<end_of_turn>{NL}",
    f"<start_of_turn>model{NL}",
)
GEMMA3 = chat(
    f"<start_of_turn>user{NL}{{{{ c }}}}{NL}{NL}",
    f"{{{{ c }}}}<end_of_turn>{NL}",
    "",
    f"<start_of_turn>model{NL}{{{{ c }}}}<end_of_turn>{NL}",
    f"<start_of_turn>model{NL}",
)
GEMMA4_CALL = calls(
    "<|tool_call>call:{{ f.name + '{' }}"
    '{% for k, v in f.arguments | dictsort %}{{ k }}:<|"|>{{ v }}<|"|>{% if not loop.last %},{% endif %}{% endfor %}'
    "}<tool_call|>"
)
GEMMA4 = chat(
    f"<|turn>system{NL}{{{{ c }}}}{{% for t in tools %}}<|tool>declaration:{{{{ t.function.name }}}}<tool|>"
    f"{{% endfor %}}<turn|>{NL}",
    f"<|turn>user{NL}{{{{ c }}}}<turn|>{NL}",
    f"<|turn>tool{NL}{{{{ c }}}}<turn|>{NL}",
    f"<|turn>model{NL}{GEMMA4_CALL}{{{{ c }}}}<turn|>{NL}",
    f"<|turn>model{NL}<|channel>thought{NL}<channel|>",
)
GEMMA = (
    "<turn|>",
    "<|turn>",
    "<|tool_call>",
    "<tool_call|>",
    '<|"|>',
    "<|tool>",
    "<tool|>",
    "<|channel>",
    "<channel|>",
)
PHI4 = chat(
    "<|im_start|>system<|im_sep|>{{ c }}<|im_end|>",
    "<|im_start|>user<|im_sep|>{{ c }}<|im_end|>",
    "",
    "<|im_start|>assistant<|im_sep|>{{ c }}<|im_end|>",
    "<|im_start|>assistant<|im_sep|>",
)
PHI4_MINI = chat(
    "<|system|>{{ c }}{% if m.tools %}<|tool|>{{ m.tools }}<|/tool|>{% endif %}<|end|>",
    "<|user|>{{ c }}<|end|>",
    "<|tool_response|>{{ c }}<|end|>",
    "<|assistant|>{{ c }}<|end|>",
    "<|assistant|>",
)

SHAPES = {
    "Qwen 2.5": Shape(chatml(calls(HERMES_CALL)), CHATML[::-1], QWEN_MARKS[:2], hermes),
    "Qwen 3": Shape(
        chatml(calls(HERMES_CALL), NO_THOUGHTS), CHATML[::-1], QWEN_MARKS, hermes, thinks="<think>\nHm.\n</think>\n\n"
    ),
    "Qwen 3 Thinking (2507)": Shape(
        chatml(calls(HERMES_CALL), f"<think>{NL}"), CHATML[::-1], QWEN_MARKS, hermes, thinks="Hm.\n</think>\n\n"
    ),
    "Qwen 3.5": Shape(chatml(calls(XML_CALL), NO_THOUGHTS), CHATML[::-1], QWEN_MARKS, qwen_xml),
    "Qwen 3 Coder": Shape(chatml(calls(XML_CALL)), CHATML[::-1], QWEN_MARKS[:2], qwen_xml),
    "Hermes 2 Pro": Shape(
        chatml(calls(HERMES_CALL), said="{% if not m.tool_calls %}{{ c }}{% endif %}"), CHATML[::-1], (), hermes
    ),
    "Hermes 3": Shape(
        chatml(calls(HERMES_CALL), said="{% if not m.tool_calls %}{{ c }}{% endif %}"),
        CHATML[::-1],
        QWEN_MARKS[:2],
        hermes,
    ),
    "Llama 3.1": Shape(llama3("{{ date_string }}"), LLAMA, call=parameters),
    "Llama 3.2": Shape(llama3("{{ strftime_now('%d %b %Y') }}"), LLAMA, call=parameters),
    "Llama 3.3": Shape(llama3("{{ date_string }}"), LLAMA, call=lambda *told: f"<|python_tag|>{parameters(*told)}"),
    "Llama 4": Shape(
        LLAMA4,
        ("<|eot|>", "<|eom|>", "<|header_start|>", "<|header_end|>", "<|python_start|>", "<|python_end|>"),
        call=parameters,
    ),
    "Mistral v3": Shape(MISTRAL_V3, MISTRAL, call=mistral_list),
    "Mistral v7": Shape(
        mistral(MISTRAL_LIST.removesuffix("</s>{% endif %}") + "{% endif %}"), MISTRAL, call=mistral_list
    ),
    "Mistral v11": Shape(
        mistral(calls("[TOOL_CALLS]{{ f.name }}[CALL_ID]{{ call.id }}[ARGS]{{ a }}")), MISTRAL, call=mistral_v11
    ),
    "Mistral v13": Shape(
        mistral(calls("[TOOL_CALLS]{{ f.name }}[ARGS]{{ a }}"), "[TOOL_RESULTS]{{ c }}[/TOOL_RESULTS]"),
        MISTRAL,
        call=mistral_v13,
        thinks="[THINK]Hm.[/THINK]",
    ),
    "Granite 3": Shape(GRANITE3, GRANITE),
    "Granite 4": Shape(GRANITE4, GRANITE, QWEN_MARKS[:4], hermes),
    "GLM 4.5, 4.6": Shape(
        glm4(f"<arg_key>{{{{ k }}}}</arg_key>{NL}<arg_value>{{{{ v }}}}</arg_value>{NL}", NL, f"{NL}<think></think>"),
        GLM,
        GLM_MARKS,
        glm,
        ends="<|observation|>",
        thinks="\n",
    ),
    "GLM 4.7": Shape(
        glm4("<arg_key>{{ k }}</arg_key><arg_value>{{ v }}</arg_value>", "", "</think>"),
        GLM,
        GLM_MARKS,
        glm_tight,
        ends="<|observation|>",
    ),
    "DeepSeek V3": Shape(deepseek_template(V3_CALL, tools=""), DEEPSEEK),
    "DeepSeek V3 (template with tools)": Shape(deepseek_template(V3_CALL), DEEPSEEK, call=deepseek),
    "DeepSeek R1 (template with tools)": Shape(
        deepseek_template(V3_CALL, asks=f"<｜Assistant｜><think>{NL}"),
        DEEPSEEK,
        QWEN_MARKS[-2:],
        deepseek,
        thinks="Hm.\n</think>\n\n",
    ),
    "DeepSeek V3.1 (template with tools)": Shape(
        deepseek_template(V31_CALL, asks="<｜Assistant｜></think>"), DEEPSEEK, QWEN_MARKS[-2:], deepseek_v31
    ),
    "Kimi K2": Shape(KIMI_K2, KIMI, call=kimi),
    "LFM2": Shape(chatml("", tool=IM), LFM),
    "LFM2.5": Shape(chatml(LFM25_CALL, tool=IM), LFM, QWEN_MARKS[-2:], lfm),
    "MiniMax M1": Shape(
        chat(
            f"<beginning_of_sentence>system{NL}{{{{ c }}}}{NL}{TOOLS}<end_of_sentence>{NL}",
            f"<beginning_of_sentence>user{NL}{{{{ c }}}}<end_of_sentence>{NL}",
            f"<beginning_of_sentence>tool{NL}{{{{ c }}}}<end_of_sentence>{NL}",
            f"<beginning_of_sentence>ai{NL}{{{{ c }}}}"
            + calls(f"{JSON_CALL}{NL}", f"{NL}<tool_calls>{NL}", "</tool_calls>")
            + f"<end_of_sentence>{NL}",
            f"<beginning_of_sentence>ai{NL}",
        ),
        ("<end_of_sentence>", "<beginning_of_sentence>"),
        call=lambda *told: f"<tool_calls>\n{compact(*told)}\n</tool_calls>",
    ),
    "MiniMax M2": Shape(MINIMAX_M2, MINIMAX, MINIMAX_MARKS, minimax, thinks="Hm.\n</think>\n\n"),
    "gpt-oss": Shape(
        GPT_OSS_TEMPLATE,
        GPT_OSS,
        call=harmony,
        thinks="<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant",
        ends="<|call|>",
        says="<|channel|>final<|message|>{}",
    ),
    "Gemma 2": Shape(GEMMA2, ("<end_of_turn>", "<start_of_turn>")),
    "Gemma 3": Shape(GEMMA3, ("<end_of_turn>", "<start_of_turn>")),
    "Gemma 4": Shape(GEMMA4, GEMMA, call=gemma4, quoted="<tool_call> or } here"),
    "Phi-4": Shape(PHI4, ("<|im_end|>", "<|im_start|>", "<|im_sep|>")),
    "Phi-4-mini": Shape(
        PHI4_MINI, ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|/tool|>", "<|tool_call|>")
    ),
}
"""By the model's name. A template that a model has under a name of its own is said so in parentheses."""
