#!/usr/bin/env python3
"""Small chat templates as transformers' apply_chat_template renders them: what Jinja does with each construct.

python3 make_template_goldens.py --out templates/constructs.jsonl

The first line is what all are rendered with: {"messages", "tools", "documents", "variables"}. Each other line: {"template"} with "text" and "generated" (ranges
of bytes that {% generation %} wrote), or with "error": true where transformers refuses it.
"""

import argparse
import json
from pathlib import Path

import transformers.utils.chat_template_utils as utils

MESSAGES = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "  Caf\u00e9 \u4f60\u597d \U0001f600?\n"},
    {
        "role": "assistant",
        "content": None,
        "thinking": "It's \"2\"",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": [1.5, None, True]}}}
        ],
    },
    {"role": "tool", "content": "3"},
    {"role": "assistant", "content": [{"type": "text", "text": "<b>Three</b> & more"}, {"type": "image"}]},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Adds\tnumbers.",
            "parameters": {
                "type": "object",
                "properties": {
                    "b": {"type": "number", "default": 1e-7},
                    "A": {"type": "array", "items": {"type": "string"}},
                },
                "required": [],
            },
        },
    }
]
VARIABLES = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "numbers": [3, 1, 2, 10, -1],
    "words": ["pear", "Apple", "fig", "apple"],
    "kind": {"b": 2, "a": {"x": None}, "C": [1]},
    "html": "<a href='x'>&\"</a>",
    "big": 9007199254740993,
    "floats": [0.1, 1.0, 1e16, 123456789.123, 1e-5, -0.0, 1e15],
    "greek": "\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3 stra\u00dfe \u01c6",
    "odd": "a\u0000b\u001f\u007f\u0085\u00a0\u00ad\u200b\u2028\ue000\U000e0001'\\",
}

TEMPLATES = [
    # Blanks around tags.
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n",
    "a\n  {%- if true -%}\n  b\n  {%- endif -%}\nc\n\n",
    "a\n  {%+ if true +%}\n  b\n  {%+ endif +%}\nc",
    "a {% if true %} b {% endif %} c",
    "  {% if true %}x{% endif %}",
    "\t {{ 1 }}\n {{- 2 -}} \n{{ 3 }}\n",
    "{# c #}\nx\n  {# c #}\ny {#- c -#} z\n{#+ c +#}\nw",
    "{#-#}x{# {{ }} {% %} #}",
    "a\r\nb\rc{{ 'd\\r\\ne' }}{{ 'f\r\ng' }}\r\n",
    "\u00a0 {% if 1 %}\u2003{%- endif %}\u3000{{- 1 }}",
    "x{% raw %}\n {{ a }} {%- if %}\n{% endraw %}\ny{%- raw -%}  z  {%- endraw -%}  w",
    "{% raw %}{% endraw %}{%raw%}{{{%endraw%}",
    "x\n\n",
    "",
    "{",
    "{ { } } %} }} #}",
    "{%- set x = 1 %}\n{%- set y = 2 -%}\n\n{{ x }}{{ y }}",
    # Literals.
    "{{ 'a\\n\\t\\\\\\'\\x41\\u00e9\\U0001F600\\101\\q' }}{{ \"b'\" 'c' }}{{ 'line\\\nbreak' }}",
    "{{ 1_000 + 0 }} {{ 1.5 }} {{ 1e3 }} {{ 2E-2 }} {{ 1.0e+10 }}",
    "{{ [1, 'a', 2.0, None, true, [], (1,), (), {'a': 1, 2: 'b'}] }}",
    "{{ 'a' 'b' ~ 1 ~ none ~ nothing ~ [nothing] }}",
    "{{ none }} {{ None }} {{ true }} {{ False }} {{ nothing }}",
    "{{ {'a': 1, 'a': 2} }} {{ [1, 2,] }} {{ {'a': 1,} }} {{ (1, 2) }} {{ 1, 2 }}",
    "{{ floats }} {{ big + 2 }} {{ 1e22 }} {{ 1e400 }} {{ -1e400 }}",
    "{{ odd | list }} {{ [odd, greek, html, \"it's\", 'say \"it\\'s\"'] }}",
    # Arithmetic.
    "{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % -3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 1 + 2 * 3 - 4 }}",
    "{{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 1.5 + 1 }} {{ true + true }} {{ -true }} {{ +3.0 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }}",
    "{{ 'ab' * 3 }}{{ 2 * 'x' }}{{ [1] * 2 }}{{ [1] + [2] }}{{ 'a' + 'b' }}{{ (1,) + (2,) }}{{ 'a' * -1 }}",
    "{{ '%s is %d, %r, 100%%' % ('x', 3, 'y') }} {{ '%s' % 5 }} {{ '%(a)s' % {'a': 1} }} {{ '%s' % [1] }}",
    "{{ 1 / 0 }}",
    "{{ 'a' + 1 }}",
    "{{ [] + (1,) }}",
    "{{ nothing + 1 }}",
    # Comparison and logic.
    "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ '\u4f60' > '\u00e9' }}",
    "{{ 1 in [1.0] }} {{ 'a' in 'cat' }} {{ 'a' not in {'a': 1} }} {{ 'x' in nothing }} {{ none == nothing }} {{ nothing == other }}",
    "{{ 0 or 'a' }} {{ '' and 'b' }} {{ 'a' and 'b' }} {{ not [] }} {{ not not 'a' }} {{ [] or {} or none }}",
    "{{ 'a' if true else 'b' }} {{ 'a' if false }} {{ 'a' if false else 'b' if false else 'c' }}",
    "{{ [1, 2] == [1, 2] }} {{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }} {{ (1,) == [1] }} {{ 'a' != 'b' }}",
    "{{ 1 < 'a' }}",
    "{{ 1 in 'a' }}",
    "{{ [] in {} }}",
    "{{ 1 is defined and 2 is odd or 3 is even }} {{ not 1 is none }} {{ 'a' is not string }}",
    "{{ 1 + 2 ~ 3 if false else 'x' ~ 1 + '2' }} {{ 2 * 3 ~ 4 }} {{ -1 | abs }} {{ (-1) | abs }} {{ not 1 == 2 }}",
    # Subscripts, slices and attributes.
    "{{ words[0] }} {{ words[-1] }} {{ words[9] }} {{ words['a'] }} {{ kind['b'] }} {{ kind.a.x }} {{ kind.zz }} {{ kind.a.x.y }}",
    "{{ words[1:] }} {{ words[:-1] }} {{ words[::-1] }} {{ words[5:] }} {{ words[::2] }} {{ words[3:0:-2] }} {{ words[-9:2] }}",
    "{{ greek[0] }} {{ greek[-1] }} {{ greek[2:5] }} {{ greek[::-1] }} {{ greek[:-20] }} {{ greek[3:-3] }} {{ greek[50] }}",
    "{{ words[true] }} {{ (1, 2, 3)[1:] }} {{ words[none:2] }} {{ words[false:true] }}",
    "{{ kind[1:] }}",
    "{{ words['a':] }}",
    "{{ words[1:, 2] }}",
    "{{ words[::0] }}",
    "{{ nothing.x }}",
    "{{ nothing['x'] }}",
    "{{ nothing[0] }}",
    "{{ nothing[1:] }}",
    "{{ none.x }} {{ 5.x }} {{ 'a'.x }} {{ [].x }} {{ 'a'['x'] }} {{ words.0 }}",
    "{{ kind.items is defined }} {{ kind['items'] is defined }} {{ kind.update is defined }} {{ words.append is defined }}",
    "{{ {'items': 1}.items == 1 }} {{ {'items': 1}['items'] }} {{ kind._x is defined }} {{ kind.__class__ is defined }} {{ ''.__class__ }}",
    "{{ words.append(1) }}",
    "{{ kind.pop('a') }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ tools[0].function.parameters.properties.A['items'].type }} {{ messages[1].content[2:4] }}",
    # for
    "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}",
    "{% for w in words if w != 'fig' %}{{ loop.index }}/{{ loop.length }}:{{ w }} {% else %}none{% endfor %}",
    "{% for w in [] %}x{% else %}none{% endfor %}{% for w in nothing %}x{% else %}none{% endfor %}",
    "{% for k, v in kind.items() %}{{ k }}={{ v }};{% endfor %}{% for k in kind %}{{ k }}{% endfor %}{% for c in 'h\u00e9y' %}[{{ c }}]{% endfor %}",
    "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for a in [1, 2] %}{% for b in [3, 4] %}{% if b == 4 %}{% break %}{% endif %}{{ a }}{{ b }}{% endfor %}.{% endfor %}",
    "{% for w in words %}{{ loop.previtem }}<{{ w }}>{{ loop.nextitem }} {{ loop.cycle('odd', 'even') }} {{ loop.changed(w | lower) }};{% endfor %}",
    "{% for x in [1, [2, [3]]] recursive %}{% if x is number %}{{ x }}@{{ loop.depth }}{% else %}({{ loop(x) }}){% endif %}{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}",
    "{% for x in 5 %}{% endfor %}",
    "{% for x in none %}{% endfor %}",
    "{% for x in [1, 2] %}{% set y = x %}{% endfor %}{{ y is defined }}",
    "{% set y = 0 %}{% for x in [1, 2] %}{{ y }}{% set y = y + x %}{{ y }}{% endfor %}{{ y }}",
    "{% for x in [1, 2] %}{% if x == 1 %}{% set z = 5 %}{% endif %}{{ z }}-{% endfor %}",
    "{% for x in messages[1:] %}{{ x.role }}{{ ', ' if not loop.last }}{% endfor %}{{ loop is defined }}",
    "{% for x in range(3, 0, -1) %}{{ x }}{% endfor %}{{ range(4)[1:] | list }}{{ range(4) | length }}",
    "{% for x in range(200000) %}{% endfor %}",
    "{% break %}",
    # set, if, with, filter, call, macro, namespace
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 3, %}{{ c }}{% set (d, e) = [4, 5] %}{{ d }}{{ e }}",
    "{% set a %}x {{ 1 }}\n y{% endset %}[{{ a }}]{% set b | upper | trim %}  ab {% endset %}[{{ b }}]",
    "{% if false %}{% elif 0 %}{% elif 'a' %}yes{% else %}no{% endif %}{% if nothing %}a{% else %}b{% endif %}",
    "{% if true: %}colon{% endif %}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ a is defined }}{{ c is defined }}",
    "{% filter upper | replace('A', 'o') %}banana {{ 1 }}{% set q = 1 %}{% endfilter %}{{ q is defined }}",
    "{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, c=3) }}{{ m(b=4, a=5) }}{{ m() }}",
    "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k=4) }}{{ m(*[1, 2], **{'z': 1}) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}inside {{ bos_token }}{% endcall %}",
    "{% macro m() %}{% for i in [1, 2] %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(x) m() %}[{{ x }}]{% endcall %}",
    "{% set x = 1 %}{% macro m() %}{{ x }}{% set x = 2 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}{% set x = 3 %}{{ m() }}",
    "{% macro m(x) %} {{- x -}} {% endmacro %}{{ m(1) | length }}{{ m('a') ~ 'b' }}{{ m('a') + 'b' }}",
    "{% set ns = namespace(a=1, b=[]) %}{% for x in [1, 2] %}{% set ns.a = ns.a + x %}{% set ns.b = ns.b + [x] %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}",
    "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns['a'] }}",
    "{% set ns = namespace(_a=1) %}",
    "{% set ns = namespace() %}{% set ns._a = 1 %}",
    "{% set x = {} %}{% set x.a = 1 %}",
    "{% set ns = namespace(x=false) %}{% for m in messages if m.role == 'tool' %}{% set ns.x = true %}{% endfor %}{{ ns.x }}",
    "{{ dict(a=1, b=2) }} {{ dict([('x', 1)], y=2) }} {{ dict({'a': 1}, a=2) }}",
    "{{ raise_exception('no ' ~ 1) }}",
    "{{ messages[0].content() }}",
    "{{ unknown() }}",
    "{{ 5 | nofilter }}",
    "{{ 5 is notest }}",
    "{% if false %}{{ 5 | nofilter }}{{ 5 is notest }}{% endif %}ok",
    "{% include 'x' %}",
    "{% do 1 %}",
    "{% if %}",
    "{{ }}",
    "{{ 1",
    "{{ (1 }}",
    "{% for x in y %}",
    "{{ 1 1 }}",
    "{% endif %}",
    "{% set true = 1 %}",
    "{# open",
    "{% raw %}",
    "{% raw %}x",
    "a{#",
    "{{ 'open }}",
    # Methods of texts.
    "{{ '  a b '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ '\u00a0a\u2003'.strip() }}|{{ 'abc'.rstrip('cb') }}",
    "{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c'.split(' ', 1) }} {{ 'a b c'.rsplit(' ', 1) }} {{ ' a b  c '.split(none, 1) }} {{ ' a b  c '.rsplit(none, 1) }} {{ ''.split() }} {{ ''.split(',') }}",
    "{{ 'a\\nb\\r\\nc\\x0bd\u2028'.splitlines() }} {{ 'a\\nb'.splitlines(true) }}",
    "{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.startswith('b', 1) }} {{ 'abc'.endswith('b', 0, 2) }}",
    "{{ 'banana'.replace('an', 'AN') }} {{ 'banana'.replace('a', 'o', 2) }} {{ 'ab'.replace('', '-') }} {{ 'ab'.replace('', '-', 2) }}",
    "{{ greek.find('\u03a3') }} {{ 'abc'.find('z') }} {{ 'banana'.rfind('an') }} {{ 'banana'.index('n') }} {{ 'banana'.count('a') }} {{ 'aaa'.count('aa') }} {{ 'ab'.count('') }}",
    "{{ 'abc'.index('z') }}",
    "{{ greek.upper() }} {{ greek.lower() }} {{ 'hello world'.title() }} {{ \"they're\".title() }} {{ 'hELLO wORLD'.capitalize() }} {{ '\u00e9A'.capitalize() }}",
    "{{ 'a'.isalpha() }} {{ 'a1'.isalnum() }} {{ '12'.isdigit() }} {{ ''.isdigit() }} {{ ' '.isspace() }} {{ 'Ab'.isupper() }} {{ 'AB1'.isupper() }} {{ 'ab'.islower() }}",
    "{{ ', '.join(['a', 'b']) }} {{ 'x'.join('abc') }} {{ '-'.join(kind) }}",
    "{{ ','.join([1]) }}",
    "{{ 'prefix-a'.removeprefix('prefix-') }} {{ 'a.txt'.removesuffix('.txt') }} {{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'a'.partition('=') }} {{ 'a'.rpartition('=') }}",
    "{{ '7'.zfill(3) }} {{ '-7'.zfill(4) }} {{ 'a'.ljust(3) }}| {{ 'a'.rjust(3, '*') }} {{ 'a'.center(4, '*') }} {{ 'ab'.center(5, '*') }}",
    "{{ '{} and {}'.format('a', 1) }} {{ '{1}{0}'.format('a', 'b') }} {{ '{x}{{}}'.format(x=2) }}",
    "{{ 'a'.split('') }}",
    "{{ kind.get('b') }} {{ kind.get('zz') }} {{ kind.get('zz', 5) }} {{ kind.keys() | list }} {{ kind.values() | list }} {{ kind.items() | list }} {{ kind.copy() == kind }}",
    "{{ words.index('fig') }} {{ words.count('fig') }} {{ (1, 1).count(1) }}",
    # Filters.
    "{{ '  a ' | trim }}|{{ 'xax' | trim('x') }}|{{ none | trim }}|{{ 5 | trim }}|{{ nothing | trim }}|",
    "{{ kind | tojson }} {{ tools | tojson }} {{ odd | tojson }} {{ html | tojson }} {{ floats | tojson }} {{ greek | tojson(ensure_ascii=true) }} {{ messages[1] | tojson(ensure_ascii=true) }}",
    "{{ kind | tojson(indent=2) }} {{ tools | tojson(4) if false else tools | tojson(indent=4) }} {{ [] | tojson(indent=2) }} {{ {} | tojson(indent=2) }} {{ [[], {'a': []}] | tojson(indent='--') }}",
    "{{ kind | tojson(separators=(',', ':')) }} {{ kind | tojson(indent=0) }} {{ kind | tojson(sort_keys=true) }} {{ kind | tojson(indent=1, separators=(', ', '=')) }}",
    "{{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }} {{ (1, 2) | tojson }} {{ true | tojson }} {{ none | tojson }}",
    "{{ nothing | tojson }}",
    "{{ kind.items() | tojson }}",
    "{{ words | join }} {{ words | join(', ') }} {{ [1, none, 2.5] | join('-') }} {{ messages | join(',', attribute='role') }} {{ 'abc' | join('.') }}",
    "{{ words | list }} {{ 'abc' | list }} {{ kind | list }} {{ words | length }} {{ greek | length }} {{ kind | count }} {{ nothing | length }}",
    "{{ 5 | length }}",
    "{{ none | list }}",
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | selectattr('content') | map(attribute='role') | list }} {{ messages | rejectattr('role', 'in', ['user', 'tool']) | map(attribute='role') | join(' ') }}",
    "{{ numbers | select('odd') | list }} {{ numbers | reject('gt', 2) | list }} {{ [0, 1, '', 'a'] | select | list }} {{ [0, 1] | reject | list }} {{ none | select | list }}",
    "{{ words | map('upper') | list }} {{ words | map('replace', 'p', 'q') | join(',') }} {{ tools | map(attribute='function.name') | list }} {{ [[1, 2]] | map(attribute=1) | list }} {{ [{}] | map(attribute='x', default='d') | list }}",
    "{{ numbers | map('nofilter') | list }}",
    "{{ nothing | default('d') }} {{ '' | default('d') }} {{ '' | default('d', true) }} {{ none | default('d', boolean=true) }} {{ nothing | d }}| {{ none | default('x') }}",
    "{{ kind | items | list }} {{ nothing | items | list }} {{ kind | dictsort }} {{ kind | dictsort(true) }} {{ {'a': 2, 'b': 1} | dictsort(false, 'value') }} {{ {'a': 2, 'b': 1} | dictsort(reverse=true) }}",
    "{{ 5 | items | list }}",
    "{{ words | first }} {{ words | last }} {{ [] | first }}| {{ 'abc' | first }} {{ 'abc' | last }} {{ numbers | select('even') | first }} {{ kind | first }}",
    "{{ numbers | select | last }}",
    "{{ 'aB c' | upper }} {{ 'aB c' | lower }} {{ 'aB c-d (e' | title }} {{ 'aB' | capitalize }} {{ 5 | upper }} {{ greek | title }}",
    "{{ 'banana' | replace('a', 'o') }} {{ 'banana' | replace('a', 'o', 1) }} {{ 5 | replace(5, 6) }} {{ 'a' | replace('', '-') }}",
    "{{ 5 | string + 'a' }} {{ none | string }} {{ kind | string }} {{ 1.0 | string }} {{ true | string }}",
    "{{ '12' | int }} {{ ' -3 ' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 3.9 | int }} {{ '3.9' | int }} {{ none | int }} {{ '1.5' | float }} {{ 'x' | float }} {{ 2 | float }} {{ '1e3' | float }} {{ true | int }}",
    "{{ -5 | abs }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 42.55 | round(1, 'floor') }} {{ 42.51 | round(1, 'ceil') }} {{ 42 | round }} {{ 5 | round(2) }}",
    "{{ words | sort }} {{ words | sort(case_sensitive=true) }} {{ numbers | sort(reverse=true) }} {{ messages | sort(attribute='role') | map(attribute='role') | list }} {{ words | unique | list }} {{ words | unique(true) | list }}",
    "{{ numbers | sum }} {{ numbers | min }} {{ numbers | max }} {{ words | min }} {{ [] | max }}| {{ [{'a': 1}, {'a': 2}] | sum('a') }} {{ [[1], [2]] | sum(start=[]) }} {{ words | max }}",
    "{{ [1, 'a'] | sort }}",
    "{{ 'abc' | reverse }} {{ words | reverse | list }} {{ 'a\u00e9b' | reverse }}",
    "{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(2, blank=true) }}|{{ 'a\nb' | indent('> ') }}|{{ 'a\n' | indent }}|{{ '' | indent }}",
    "{{ 'a' | center(5) }}| {{ '%s-%s' | format(1, 'b') }} {{ kind | attr('b') }} {{ kind.items | attr('x') is defined }}",
    "{{ html | e }} {{ html | safe }} {{ html | e | e }} {{ '<' + ('<' | safe) }} {{ '<' ~ ('<' | safe) }} {{ [html | safe] | join }} {{ kind | tojson | safe }} {{ (html | safe).upper() }} {{ html | safe | trim | length }}",
    "{{ (words | map('upper')) | list }}{% set g = words | select %}{{ g | list | length }}{{ g | list | length }}",
    "{{ words | sort | first | upper ~ '!' }} {{ (words | first).upper() }} {{ (words | join('')).upper() }}",
    # Tests.
    "{{ 1 is defined }}{{ x is defined }}{{ x is undefined }}{{ none is none }}{{ 'a' is string }}{{ kind is mapping }}{{ words is sequence }}{{ 'a' is sequence }}{{ kind is sequence }}{{ 5 is sequence }}{{ nothing is sequence }}",
    "{{ words is iterable }}{{ 'a' is iterable }}{{ kind is iterable }}{{ 5 is iterable }}{{ none is iterable }}{{ nothing is iterable }}{{ kind.items() is iterable }}{{ (words | select) is iterable }}{{ range(2) is sequence }}",
    "{{ 1 is number }}{{ 1.5 is number }}{{ true is number }}{{ true is integer }}{{ 1 is integer }}{{ 1.0 is float }}{{ true is boolean }}{{ true is true }}{{ 1 is true }}{{ false is false }}{{ 0 is false }}",
    "{{ 3 is odd }}{{ 3 is even }}{{ 6 is divisibleby 3 }}{{ 6 is divisibleby(4) }}{{ 1 is eq 1 }}{{ 1 is ne(2) }}{{ 1 is lt 2 }}{{ 2 is ge 2 }}{{ 2 is gt 3 }}{{ 2 is le 1 }}{{ 'a' is in 'abc' }}{{ 'a' is in(['b']) }}",
    "{{ 'abc' is lower }}{{ 'ABC' is upper }}{{ none is sameas none }}{{ range is callable }}{{ 5 is callable }}{{ kind.get is callable }}{{ 'a' is not none }}{{ 'x' is not defined }}",
    "{{ none is none is none }}",
    # What transformers hands over.
    "{{ messages[2] | tojson }} {{ messages[2].content is defined }} {{ messages[2].reasoning_content }} {{ messages[2].tool_calls[0].function.arguments | tojson }}",
    "{{ tools is none }} {{ documents is none }} {{ documents is defined }} {{ add_generation_prompt }} {{ bos_token }} {{ pad_token is defined }}",
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% elif m.content %}{% for c in m.content %}{{ c.text if c.type == 'text' else '<image>' }}{% endfor %}{% endif %}{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}A:{% endif %}",
    "{% set loop_messages = messages[1:] if messages[0]['role'] == 'system' else messages %}{{ loop_messages | length }}",
    "{%- for tool_call in messages[2].tool_calls %}{%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}{{- tool_call.name }}{{- tool_call.arguments | tojson }}{%- endfor %}",
    # generation
    "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}{% generation %}{{ m.content }}\u4f60{% endgeneration %}{% else %}{{ m.content }}{% endif %}\n{% endfor %}",
    "{%- generation -%}  a  {%- endgeneration -%}  b{% generation %}{% endgeneration %}",
    "{% macro m() %}\u4f60{% generation %}in{% endgeneration %}{% endmacro %}ab{{ m() }}c{% set q %}{% generation %}\u00e9d{% endgeneration %}{% endset %}{{ q }}ef",
    "{% generation %}{% set v = 1 %}{{ v }}{% endgeneration %}{{ v is defined }}",
    "{% for x in [1, 2] %}{% generation %}{{ loop.index }}{% endgeneration %}{% endfor %}",
]  # fmt: skip


def render(template):
    tokens = dict(VARIABLES)
    chat = [{key: value for key, value in message.items() if value is not None} for message in MESSAGES]
    chat = utils._alias_reasoning_fields(utils._plain_template_data(chat))
    text, ranges = utils._render_with_assistant_indices(
        utils._compile_jinja_template(template), chat, TOOLS, None, False, **tokens
    )
    plain, _ = utils.render_jinja_template([chat], tools=TOOLS, chat_template=template, **tokens)
    assert plain == [text]
    return text, [[len(text[:begin].encode()), len(text[:end].encode())] for begin, end in ranges]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    lines = [{"messages": MESSAGES, "tools": TOOLS, "documents": None, "variables": VARIABLES}]
    for template in TEMPLATES:
        try:
            text, generated = render(template)
            lines.append({"template": template, "text": text, "generated": generated})
        except Exception as error:
            print(f"{template[:80]!r}: {type(error).__name__}: {error}")
            lines.append({"template": template, "error": True})
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines), encoding="ascii")


if __name__ == "__main__":
    main()
