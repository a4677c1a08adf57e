"""Makes tests/fixtures/chat_templates: chat templates and what transformers makes of them.

    python chat_template_fixtures.py              write tests/fixtures/chat_templates anew
    python chat_template_fixtures.py --out DIR    write DIR/chat_templates instead
    python chat_template_fixtures.py --check      make them in a temporary folder and compare with
                                                  the committed ones

`NAME.json` is a template, the special tokens of its tokenizer, and conversations with the text
that `apply_chat_template` gives, or `null` where it raises. `snippets.json` is many short
templates with the text of each, or `null`, all rendered for the same conversation. The templates
are written for this: each is about some of the features that chat templates use.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"

TEMPLATES = {}

TEMPLATES["markers"] = """\
{%- for message in messages %}
    {%- if loop.first and message.role != 'system' %}
        {{- '<|begin|>system\\nAnswer briefly.<|end|>\\n' }}
    {%- endif %}
    {{- '<|begin|>' + message['role'] + '\\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}
        {{- '\\n' }}
    {%- else %}
        {{- message['content'] ~ '<|end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|begin|>assistant\\n' }}
{%- endif %}
"""

TEMPLATES["pairs"] = """\
{% if messages[0]['role'] == 'system' -%}
{%   set rest = messages[1:] %}{% set opening = '{{' ~ messages[0]['content'].strip() ~ '}}\\n' %}
{%- else -%}
{%   set rest = messages %}{% set opening = '' %}
{%- endif -%}
{%- for message in rest -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception('user and assistant must take turns, message ' ~ loop.index) -}}
    {%- endif -%}
    {%- if message['role'] == 'user' -%}
        {{- bos_token + '(Q) ' + ((opening if loop.first else '') + message['content'])|trim + ' (A)' -}}
    {%- elif message['role'] == 'assistant' -%}
        {{- ' ' + message['content'].strip() + ' ' + eos_token -}}
    {%- else -%}
        {{- raise_exception('no role ' + message.role) -}}
    {%- endif -%}
{%- endfor -%}
"""

TEMPLATES["headers"] = """\
{{ bos_token }}{# the date is a fixed one where there is no clock #}
{%- if not date_string is defined %}
  {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- set system = namespace(text='', found=false) %}
{%- if messages and messages[0].role == "system" %}
  {%- set system.text = messages[0].content | trim %}
  {%- set system.found = true %}
  {%- set messages = messages[1:] %}
{%- endif %}
<head>system</head>

Today is {{ date_string }}.
{% if system.found %}

{{ system.text }}
{% endif %}
<end>
{%- for message in messages %}
{{ '<head>' + message.role + '</head>\\n\\n' + message.content | trim + '<end>' }}
{%- endfor %}
{%- if add_generation_prompt %}
<head>assistant</head>

{% endif %}
"""

TEMPLATES["thoughts"] = """\
{%- set ns = namespace(last_question=messages|length - 1, searching=true) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and message.content is string
           and not (message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last_question = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'assistant' %}
        {%- set thought = '' %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_question and (loop.last or thought) %}
            {{- '[assistant]\\n<think>\\n' ~ thought.strip('\\n') ~ '\\n</think>\\n\\n' ~ content.lstrip('\\n') }}
        {%- else %}
            {{- '[assistant]\\n' + content }}
        {%- endif %}
        {{- '[end]\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or loop.previtem.role != 'tool' %}{{ '[user]' }}{% endif %}
        {{- '\\n<tool>\\n' ~ content ~ '\\n</tool>' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}{{ '[end]\\n' }}{% endif %}
    {%- else %}
        {{- '[' + message.role + ']\\n' + content + '[end]\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '[assistant]\\n' }}
    {%- if thinking is defined and thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}
{%- endif %}
"""

TEMPLATES["macros"] = """\
{%- macro turn(role, content, end='<end>', upper=false) -%}
<{{ role|upper if upper else role }}>{{ content }}{{ end }}
{% endmacro -%}
{%- macro framed(title) -%}
== {{ title }} ==
{{ caller() }}
{%- endmacro -%}
{%- macro list_of(values, depth=0) -%}
{%- for value in values -%}
{{ '  ' * depth }}- {% if value is mapping %}
{% for key, inner in value.items() %}
{{ '  ' * depth }}  {{ key }}: {{ inner }}
{% endfor %}
{% elif value is sequence and value is not string %}
{{ list_of(value, depth + 1) }}
{%- else %}
{{ value }}
{% endif %}
{%- endfor -%}
{%- endmacro -%}
{% call framed('messages: ' ~ messages|length) -%}
{% for m in messages %}{{ turn(m.role, m.content|replace('a', '4'), upper=loop.first) }}{% endfor -%}
{% endcall %}
{{ list_of(messages) }}
{{- list_of([1, [2, [3, 'x']], 'y']) -}}
{% if add_generation_prompt %}{{ turn('assistant', '', end='') }}{% endif %}
"""

TEMPLATES["spaces"] = """\
   {% for message in messages %}   
	{% if message.role == 'user' +%}
  user:   {{ message.content }}  
    {%+ else %}
  {{ message.role }}:   {{- message.content -}}   
    {% endif -%}

   {# a comment that takes its line #}
 {#- and one that takes more -#}  
   {% endfor %}
{% raw %}
  {{ kept }} {% as %} {# it is #}
{%- endraw %}

  x{% if add_generation_prompt %} generate {% endif %}y
  {%- if true %}  


   z {% endif +%}

  {{- '}}' }} {{ {'a': {'b': 1}}['a']['b'] }} {{ "%}" }}
last line  
"""

TEMPLATES["lists"] = """\
{%- set users = messages | selectattr('role', 'equalto', 'user') | list -%}
{%- set others = messages | rejectattr('role', 'in', ['user']) | list -%}
users={{ users | map(attribute='content') | join('|') }}
others={{ others | map(attribute='role') | unique | join(',') }}
roles={{ messages | map(attribute='role') | map('upper') | list }}
lengths={{ messages | map(attribute='content') | map('length') | sum }}
longest={{ messages | map(attribute='content') | map('length') | max }}
{{ messages | length }} {{ (messages | last).role }} {{ (messages | first)['role'] }}
{% for batch in messages | batch(2) %}[{{ batch | map(attribute='role') | join('+') }}]{% endfor %}

{% for key, value in {'b': 1, 'a': 2, 'C': 3} | dictsort %}{{ key }}={{ value }};{% endfor %}

{{ messages | sort(attribute='role') | map(attribute='role') | join(' ') }}
{{ [3, 1, 2] | sort(reverse=true) }} {{ ['b', 'A', 'a'] | sort }} {{ [1, 2, 3, 4] | select('odd') | list }}
{{ messages[-1].content[:10] }}|{{ messages[0].content[-3:] }}|{{ messages[0].content[::-2] }}
"""

TEMPLATES["loops"] = """\
{% for message in messages if message.role != 'system' %}
{%- if message.content == '' %}{% continue %}{% endif %}
{{ loop.index }}/{{ loop.length }} {{ loop.revindex0 }} {{ loop.cycle('odd', 'even') }} {{ loop.first }} {{ loop.last -}}
{{- ' ' ~ loop.changed(message.role) }} after {{ loop.previtem.role if loop.previtem is defined else '-' }}
{%- if message.content | length > 40 %} (long){% break %}{% endif %}
{% else %}
nobody asks
{% endfor %}
{% set count = 0 %}
{% for m in messages %}{% set count = count + 1 %}{% endfor %}
{% set ns = namespace(count=0, roles=[], seen={}) %}
{% for m in messages %}
{% set ns.count = ns.count + 1 %}
{% set ns.roles = ns.roles + [m.role] %}
{% set ns.seen = dict(ns.seen, **{m.role: loop.index}) %}
{% endfor %}
{{ count }} {{ ns.count }} {{ ns.roles }} {{ ns.seen }}
{% for i in range(3) %}{% for j in range(i, 5, 2) %}{{ i }}{{ j }} {% endfor %}{% endfor %}

{% with a = 1, b = 'two' %}{{ a }}{{ b }}{% set c = 3 %}{{ c }}{% endwith %}{{ c is defined }}
{% set block %}
  text of {{ messages[0].role }}
{% endset %}
[{{ block }}]{% set upper | upper | trim %}
 captured {% endset %}({{ upper }})
{% filter replace('o', '0') %}loops are {{ 'good' }}{% endfilter %}
"""

TEMPLATES["python"] = """\
{{ messages }}
{{ messages[0] }}
{{ tools }} {{ true }} {{ none }} {{ 1.0 }} {{ 1e100 }} {{ 0.1 + 0.2 }} {{ 1e-7 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }}
{{ messages[0] | tojson }}
{{ {'b': [1, 2.5, none, true], 'a': {'c': 'é"\\\\'}} | tojson(indent=2) }}
{{ {'b': 1, 'a': 'é'} | tojson(sort_keys=true, ensure_ascii=true, separators=(',', ':')) }}
{{ 'It''s' }} {{ ["it's", 'say "hi"', 'both \\' and "'] }} {{ ('one',) }} {{ () }} {{ {} }} {{ 'a\\tb\\nc' }}
{{ missing }}|{{ missing is defined }}|{{ messages[0].missing is defined }}|{{ messages[0]['missing'] }}|{{ missing | default('d') }}|{{ '' | default('d', true) }}
{{ 'x' if false }}|{{ 'a' in 'cat' }}|{{ 'role' in messages[0] }}|{{ 3 in [1, 2] }}|{{ 'q' not in 'cat' }}
{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ not 1 }} {{ 1 and 2 }} {{ 0 or '' or 'z' }}
{{ '%s is %d' % ('x', 3) }} {{ '{} and {0}'.format('a') if false else '{}-{b}'.format('a', b=2) }}
"""

TEMPLATES["strict"] = """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('There is no system here') }}{% endif %}
{%- for message in messages -%}
{%- if (message['role'] == 'assistant') -%}
{%- set role = "model" -%}
{%- else -%}
{%- set role = message['role'] -%}
{%- endif -%}
{{ '<turn>' + role + '\\n' + message['content'] | trim + '<turn|>\\n' }}
{%- endfor -%}
{% if add_generation_prompt %}{{ '<turn>model\\n' }}{% endif %}
"""

TEMPLATES["colons"] = """\
{%- set names = {'user': 'User', 'assistant': 'Assistant', 'system': 'System'} -%}
{%- for m in messages -%}
{{ names.get(m.role, m.role | title) }}: {{ m.content | replace('\\r\\n', '\\n') | trim }}{{ '\\n\\n' if not loop.last or add_generation_prompt }}
{%- endfor -%}
{%- if add_generation_prompt -%}Assistant:{%- endif -%}
"""

TEMPLATES["steps"] = """\
{%- set ns = namespace(is_first=true, is_tool=false, system='') -%}
{%- for message in messages -%}
  {%- if message['role'] == 'system' -%}
    {%- set ns.system = ns.system + ('' if ns.is_first else '\\n\\n') + message['content'] -%}
    {%- set ns.is_first = false -%}
  {%- endif -%}
{%- endfor -%}
{{- bos_token -}}{{- ns.system -}}
{%- for message in messages -%}
  {%- if message['role'] == 'user' -%}
    {%- set ns.is_tool = false -%}{{- '<U>' + message['content'] -}}
  {%- elif message['role'] == 'assistant' and message['content'] is not none -%}
    {%- if ns.is_tool -%}{{- '</T>' -}}{%- set ns.is_tool = false -%}{%- endif -%}
    {{- '<A>' + message['content'] + eos_token -}}
  {%- elif message['role'] == 'tool' -%}
    {{- ('<T>' if not ns.is_tool else ',') + message['content'] -}}{%- set ns.is_tool = true -%}
  {%- endif -%}
{%- endfor -%}
{%- if ns.is_tool -%}{{- '</T>' -}}{%- endif -%}
{%- if add_generation_prompt and not ns.is_tool -%}{{- '<A>' -}}{%- endif -%}
"""


def message(role, content):
    return {"role": role, "content": content}


CONVERSATIONS = [
    [message("user", "What is the capital of France?")],
    [message("user", "Hi"), message("assistant", "Hello!")],
    [message("system", " You are terse. "), message("user", "2+2?"), message("assistant", "4")],
    [
        message("user", "  spaces around  \n"),
        message("assistant", "\n kept or not? \n\nsecond paragraph"),
        message("user", "naïve café ☕ \"quotes\" and 'single' \\ back"),
        message("assistant", "<think>\nhm\n</think>\n\nyes & <no>"),
    ],
    [
        message("system", "S"),
        message("user", "u1"),
        message("assistant", "a1"),
        message("user", "u2 " * 20),
        message("assistant", ""),
        message("user", "u3"),
    ],
    [
        message("user", "weather?"),
        message("assistant", '{"call": "weather"}'),
        message("tool", "sunny"),
        message("tool", "21\u00b0"),
        message("assistant", "Sunny, 21 degrees."),
    ],
    [message("assistant", "I begin."), message("user", "line one\r\nline two"), message("user", "again")],
]

# Rendered for SNIPPET_MESSAGES, with SNIPPET_VALUES beside.
SNIPPET_MESSAGES = [message("user", "Hello World"), message("assistant", "it's  fine")]
SNIPPET_VALUES = {
    "d": {"b": 2, "a": 1, "items": "own", "nested": {"list": [1, {"x": "y"}]}},
    "l": [3, 1, 2, 1],
    "s": "Some Text, some-more text",
    "n": None,
    "f": 2.5,
    "i": 42,
    "t": True,
    "e": [],
    "people": [
        {"name": "Bo", "age": 30, "tags": ["x"]},
        {"name": "al", "age": 25, "tags": []},
        {"name": "Cy", "age": 30},
    ],
}

EXPRESSIONS = r"""
s.upper()
s.lower().title()
s.capitalize()
s|title
s|capitalize
'o''brien-smith (x'|title
"o'brien x3y" .title()
s.split()
s.split(' ', 1)
s.split(',')
s.rsplit(' ', 1)
s.split('missing')
'  a  b '.split()
'  a  b '.split(' ')
'a,b,,c'.split(',')
'  a b  c '.split(None, 1)
'  a b  c '.rsplit(None, 1)
'a b c'.rsplit(maxsplit=1)
s.replace('e', 'E')
s.replace('e', 'E', 1)
'abc'.replace('', '-')
s.find('Text')
s.find('zz')
s.rfind('e')
'é☕x'.find('x')
s.count('e')
s.index('T')
s.index('zz')
s.startswith('Some')
s.startswith(('x', 'So'))
s.endswith('text')
'xxabxx'.strip('x')
'xxabxx'.lstrip('x')
'xxabxx'.rstrip('x')
'\t a \n'.strip()
'abcabc'.removeprefix('abc')
'abcabc'.removesuffix('bc')
'a-b-c'.partition('-')
'a-b-c'.rpartition('-')
'abc'.partition('-')
'a\nb\r\nc\n'.splitlines()
'a\nb\r\nc\n'.splitlines(true)
','.join(['a', 'b'])
','.join([1])
','.join('abc')
'abc'.isalpha()
'abc1'.isalnum()
''.isalpha()
'12'.isdigit()
' \t'.isspace()
'abc'.islower()
'aBc'.islower()
'ABC1'.isupper()
'42'.zfill(5)
'-42'.zfill(5)
'abc'[0]
'abc'[-1]
'abc'[5]
'abcdef'[1:4]
'abcdef'[::-1]
'abcdef'[4:1:-1]
'abcdef'[-2:]
'abcdef'[:-2]
'abcdef'[::2]
'abcdef'[10:]
'abcdef'[::0]
l[1:]
l[::-1]
l[-1]
l[10]
l[0:2]
(1, 2, 3)[1:]
d.b
d['b']
d['items']
d.items()|list
d.keys()|list
d.values()|list
d.get('b')
d.get('zz')
d.get('zz', 'no')
d.nested.list[1].x
d.nested.list.1.x
d['nested']['list'][1]['x']
d.missing
d.missing.deeper
missing.x
missing
missing + 'x'
missing ~ 'x'
missing == missing
missing|length
missing|list
missing|join
missing|upper
missing|default
n.x
n.x.y
n|string
n ~ 'x'
n == none
n is none
t
t|string
t ~ ''
t + 1
f
f|int
f|string
f|round
2.5|round
3.5|round
2.675|round(2)
42.55|round(1, 'floor')
42.55|round(1, 'ceil')
42|round
-2.5|abs
'12'|int
'12.7'|int
'x'|int
'x'|int(5)
'0x1f'|int(0, 16)
'ff'|int(base=16)
'2.5'|float
'x'|float
'x'|float(1.5)
i / 5
i // 5
i % 5
-i // 5
-i % 5
i ** 2
2 ** -1
2 ** 3 ** 2
-2 ** 2
1 / 0
1 // 0
1 % 0
7.5 // 2
-7.5 % 2
1 + 2.0
10 * 2.5
'ab' * 3
3 * 'ab'
[1] * 3
[1] + [2]
[1] + (2,)
(1,) + (2,)
'a' + 1
1 + 'a'
'a' ~ 1 ~ none ~ true ~ 2.0
1e16
1e15
123456789.123456789
1e-5
0.0001
1e22
100.0
-0.0
1.5e300 * 1e300
1_000
0x1F
0b101
0o17
[1, 2.0, 'x', none, true, [], {}, ()]
{'a': 1, 'b': [1, 2], 3: 'c', none: 1}
{'a': 1, 'a': 2}
('x',)
(1, 2)
1, 2
"double 'single'"
['a"b', "a'b", 'a\\b', 'a\nb']
['\x00\x1f\x7f', 'é', '☕', '\u2028']
'\x41\u00e9\U0001F600\101\q'
'a' 'b' "c"
l|length
s|length
d|length
i|length
'☕é'|length
l|first
l|last
e|first
s|first
l|sum
l|max
l|min
e|max
e|sum
['b', 'A']|max
['b', 'A']|min
people|map(attribute='name')|list
people|map(attribute='tags.0')|list
people|map(attribute='tags', default='none')|list
people|sum(attribute='age')
people|max(attribute='age')
people|sort(attribute='age')|map(attribute='name')|list
people|sort(attribute='name')|map(attribute='name')|list
people|sort(attribute='name', case_sensitive=true)|map(attribute='name')|list
people|sort(attribute='age', reverse=true)|map(attribute='name')|list
people|selectattr('tags')|map(attribute='name')|list
people|selectattr('age', 'gt', 26)|map(attribute='name')|list
people|selectattr('age', '>', 26)|list|length
people|rejectattr('age', 'eq', 30)|map(attribute='name')|list
people|selectattr('tags', 'defined')|list|length
l|select|list
l|select('even')|list
l|reject('equalto', 1)|list
l|map('string')|list
l|map('string')|join('+')
l|join(', ')
people|join('; ', attribute='name')
l|sort
l|sort(reverse=true)
['b', 'a', 'C']|sort
['b', 'a', 'C']|sort(case_sensitive=true)
[2, 'a']|sort
l|unique|list
['a', 'A', 'b']|unique|list
l|reverse|list
s|reverse
l|batch(3)|list
l|batch(3, 'x')|list
l|slice(3)|list
l|slice(3, 'x')|list
d|dictsort
d|dictsort(by='value')
{'b': 1, 'A': 2}|dictsort(reverse=true)
{'b': 1, 'A': 2}|items|list
d|list
s|list|length
s|trim
'xaxx'|trim('x')
s|replace('e', '3')
s|replace('e', '3', 1)
123|replace(2, 'x')
s|wordcount
'abcdefghij'|truncate(5)
'abcdefghij klm nop'|truncate(9)
'abcdefghij klm nop'|truncate(9, true)
'abcdefghij klm nop'|truncate(12, false, '..', 0)
'ab'|center(7)
'abc'|center(8)
'a\nb\n\nc'|indent
'a\nb\n\nc'|indent(2, true)
'a\nb\n\nc'|indent('> ', blank=true)
'a\n'|indent
'%s-%s'|format('a', 1)
'%d%%' % 50
'%.2f' % 2.345
'%s' % 'x'
'%s %s' % ('x',)
'{} {}'.format(1, 'b')
'{0}{1}{0}'.format('a', 'b')
'{x}'.format(x=1)
'{{}}'.format()
'{}'.format()
d.nested|tojson
d|tojson
l|tojson(indent=1)
{}|tojson(indent=2)
[[], {}]|tojson(indent=2)
'é☕\x7f\x1b"/'|tojson
'é☕\x7f'|tojson(ensure_ascii=true)
[1.0, 1e16, 1e-7, 10]|tojson
{1: 2, none: 3, true: 4}|tojson
missing|tojson
d|tojson(sort_keys=true)
l|tojson(separators=(',', ':'))
l|tojson(indent='--')
'<a&b>'|tojson
i is odd
i is even
i is divisibleby 7
i is divisibleby(5)
i is number
t is number
t is boolean
t is integer
t is true
i is integer
f is float
s is string
d is mapping
l is sequence
s is sequence
s is iterable
i is iterable
missing is defined
missing is undefined
missing is sequence
missing is mapping
n is none
n is not none
n is defined
i is eq 42
i is ne 42
i is lt 50
i is ge 42
i is in [1, 42]
i is not in [1]
s is lower
'abc' is lower
'ABC' is upper
n is sameas none
t is sameas true
1 is sameas true
range is callable
'upper' is filter
i is nonsense
i|nonsense
i if t else f
i if missing else f
i if missing
(i if missing)|default('none')
1 if 0 else 2 if 0 else 3
not t
not missing
t and n
n or 'x'
t and not n or f
1 < 2 < 3
3 > 2 > 2
1 == 1.0 == true
'1' == 1
none == false
l == [3, 1, 2, 1]
[1] == (1,)
{'a': 1} == {'a': 1.0}
'b' < 'a'
[1, 2] < [1, 2, 3]
1 < 'a'
none < 1
1 in l
'Text' in s
1 in s
'b' in d
2 in d
none in [none]
missing in l
'x' in missing
'x' in 5
range(5)|list
range(2, 10, 3)|list
range(5, 0, -2)|list
range(0)|list
range(1, 2, 0)
dict(a=1, b=2)
dict({'a': 1}, b=2)
namespace(a=1).a
namespace({'a': 1}, b=2).b
namespace(a=1).zz
l.index(2)
l.count(1)
l.append(5)
d.update({'z': 1})
d.pop('a')
-f
+i
-s
- i|abs
(-i)|abs
l.0
messages[0].role ~ messages[1]['content']
messages|length
messages[0].content.split(' ')[1]|upper
messages[-1]['content'][0:2]
messages[5]
messages[5].role
tools
tools is none
tools is defined
add_generation_prompt
bos_token
bos_token + eos_token
cls_token is defined
raise_exception('no')
i()
s.nope()
s.nope
(l|first) + (l|last)
'a' if 'x' in s else 'b'
s|upper|replace('T', 't')|length
l[i]
l['x']
d[l]
l|map('nonsense')|list
l|join(1)
{'a': l}.a[0]
{'a': 1}['b'] is defined
[l, l]|sum(start=[])
[1, [2, 3]]|string
'x' ~ [1, 'a']
'x' ~ {'a': none}
'abc'|list
'a' < missing
missing < 1
missing > missing
missing() 
none()
true is true
'%'|string
'a'.b.c
''|trim|default('empty', true)
"multi
line"
'tab\	raw'
1.
.5
1 ~ 2 + 3
1 + 2 ~ 3
2 * 3 ~ 4
l[1:][0]
l [0]
s . upper ()
s|upper()
l|join (',')
[]|batch(2)|list
people|map(attribute='zz')|list
people|map('upper')|list
l|map('divisibleby', 2)|list
s[:4] == 'Some' and s[-4:] == 'text'
""".strip("\n")

STATEMENTS = r"""
{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}
{% set x = 1 %}{% for y in l %}{% set x = y %}{{ x }}{% endfor %}{{ x }}
{% set x, y = 1, 2 %}{{ y }}{{ x }}
{% set (x, y) = [1, 2] %}{{ y }}{{ x }}
{% set x, y = 1, 2, 3 %}
{% set x = 1, 2 %}{{ x }}
{% set d.x = 1 %}
{% set zz.x = 1 %}
{% for k, v in d.items() %}{{ k }}{% endfor %}
{% for k in d %}{{ k }},{% endfor %}
{% for c in 'añ' %}{{ c }},{% endfor %}
{% for x in n %}{% endfor %}
{% for x in missing %}{{ x }}{% else %}none{% endfor %}
{% for x in i %}{% endfor %}
{% for x in l if x > 1 %}{{ loop.index }}{{ x }}{{ loop.last }} {% endfor %}
{% for x in l %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}
{% for x in l %}{% for y in l %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}
{% for x in l %}{{ loop.nextitem }}{{ loop.previtem }};{% endfor %}
{% for x in l %}{{ loop.depth }}{{ loop.depth0 }}{{ loop.revindex }}{% endfor %}
{% for x in l %}{{ loop.changed(x) }}{% endfor %}
{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}
{% for x, y in [(1, 2), [3, 4]] %}{{ x + y }}{% endfor %}
{% for x in l %}{% set outer = loop %}{% for y in 'ab' %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}
{% for x in l[:0] %}x{% else %}{% set q = 1 %}{{ q }}{% endfor %}{{ q is defined }}
{% if l and d %}a{% elif t %}b{% else %}c{% endif %}
{% if e %}a{% elif n %}b{% else %}c{% endif %}
{% if not e %}a{% endif %}
{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=1, a=2) }} {{ m() }}
{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{% endmacro %}{{ m(z=2) }}
{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}
{% macro m() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ m() }}
{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ m() }}
{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(3) }}
{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}body{% endcall %}
{% macro m() %}[{{ caller('x') }}]{% endmacro %}{% call(v) m() %}{{ v }}{{ s[:4] }}{% endcall %}
{% macro m() %}{% set inner = 3 %}{{ inner }}{% endmacro %}{{ m() }}{{ inner is defined }}
{% macro m() %} a {% endmacro %}{{ m()|trim|upper }}{{ m() ~ '!' }}{{ m.name }}
{% for x in l %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}
{% set ns = namespace() %}{% for x in l %}{% set ns.x = x %}{% endfor %}{{ ns.x }}{{ ns.y is defined }}
{% set ns = namespace(a=[]) %}{% for x in l %}{% set ns.a = ns.a + [x * 2] %}{% endfor %}{{ ns.a }}
{% set x %}a{{ i }}b{% endset %}{{ x|length }}{{ x }}
{% set x | upper %}a{{ i }}b{% endset %}{{ x }}
{% set x | replace('a', 'c') | upper %}a{% set z = 1 %}{% endset %}{{ x }}{{ z is defined }}
{% filter upper %}a{{ s }}{% endfilter %}
{% filter indent(2) %}a
b{% endfilter %}
{% with x = 1 %}{{ x }}{% endwith %}{{ x is defined }}
{% with %}{% set x = 1 %}{{ x }}{% endwith %}{{ x is defined }}
{% with x = 1, y = x %}{{ y }}{% endwith %}
{% generation %}{{ s }}{% set x = 1 %}{% endgeneration %}{{ x is defined }}
{%- generation -%} a {%- endgeneration -%} b
{# comment {{ i }} {% if %} #}a{#- x -#} b
{% raw %}{{ i }}{% endraw %}
{%- raw -%} {{ i }} {%- endraw -%} x
  {% raw %}  
 a
  {% endraw %}  
b
a {%- if t %} b {% endif -%} c
a {{- i -}} b
a {{ i }}
b
{% if t %}
a
{% endif %}
b
    {% if t %}
  a
    {% endif %}
  b
x  {% if t %}  y  {% endif %}  z
  {%+ if t %}a{% endif +%}
b
a
   {#- c #}
b
   {# c #}
c
{{ '{% if %}' }}{{ "}}" }}{{ '#}' }}
{{ {'a': {'b': 2}}.a.b }}{{ {'x': {}} }}
{{ i -}}
 x {{- ' y' }}
{{i}}{{ i}}{{i }}
{% if i %}{% else %}{% endif %}
{%if t%}a{%endif%}
{% for x in l -%}
  {{ x }}
{%- endfor %}
{{ i
}}{% set
x = 3 %}{{
x }}
{% if t %}a{% endfor %}
{% if %}a{% endif %}
{% if t %}a
{{ i
{{ i }
{{ (i }}
{{ i) }}
{{ }}
{{ i i }}
{{ 'abc }}
{% unknown %}
{% break %}
{% endfor %}
{% for x in l %}{% else %}{% else %}{% endfor %}
{% set 1 = 2 %}
{% set true = 2 %}
{% set x %}
{# never closed
{% raw %}never closed
{{ i | }}
{{ i. }}
{{ [1, 2 }}
{{ {1: } }}
{{ f(a=1, 2) }}
{% for in l %}{% endfor %}
{% macro %}{% endmacro %}
{% call x %}{% endcall %}
{{ 1 is odd is even }}
{{ "\x4" }}
{{ i ! }}
{{ s is string and i is number }}
{{ 'yes' if s is string else 'no' }}
{{ l is sequence and l is not mapping }}
{{ dict(**{'a': 1}).a }}{{ range(*[1, 3])|list }}
{% set messages = messages[1:] %}{{ messages|length }}
{% set loop = 5 %}{% for x in l %}{{ loop.index }}{% endfor %}{{ loop }}
{{ loop is defined }}
{% if 'a' == 'a' and ('b' == 'c' or not false) %}yes{% endif %}
{% for m in messages %}{{ m.role }}: {{ m.content }}{% if not loop.last %} | {% endif %}{% endfor %}

{{ i }}


trailing lines


{{- '\n' }}
 {%- set x = 1 %} {{ x }} {%- set y = 2 -%} {{ y }}
{% if t %} 	{% endif %}	{% if t %}x{% endif %}
a{% if t %}
{% endif %}b
a
{%- if t %}

b
{%- endif %}

c
{%  for  x  in  l  %}{{x}}{%  endfor  %}
{% for x in [1,2,3,] %}{{ x }}{% endfor %}{{ (1,2,) }}{{ {'a':1,} }}
""".strip("\n")



def statements():
    """The templates of STATEMENTS: a line each, but for those given as blocks below."""
    blocks = [
        "{% filter indent(2) %}a\nb{% endfilter %}",
        "  {% raw %}  \n a\n  {% endraw %}  \nb",
        "a {{ i }}\nb",
        "{% if t %}\na\n{% endif %}\nb",
        "    {% if t %}\n  a\n    {% endif %}\n  b",
        "  {%+ if t %}a{% endif +%}\nb",
        "a\n   {#- c #}\nb\n   {# c #}\nc",
        "{{ i -}}\n x {{- ' y' }}",
        "{% for x in l -%}\n  {{ x }}\n{%- endfor %}",
        "{{ i\n}}{% set\nx = 3 %}{{\nx }}",
        "\n{{ i }}\n\n\ntrailing lines\n\n",
        "{{- '\\n' }}\n {%- set x = 1 %} {{ x }} {%- set y = 2 -%} {{ y }}",
        "a{% if t %}\n{% endif %}b",
        "a\n{%- if t %}\n\nb\n{%- endif %}\n\nc",
    ]
    text = STATEMENTS
    for block in blocks:
        assert block in text, block
        text = text.replace(block, "", 1)
    lines = [line for line in text.split("\n") if line]
    return lines + blocks + [block.replace("\n", "\r\n") for block in blocks]


def expressions():
    """The expressions of EXPRESSIONS, a line each, but for the one of two lines."""
    text = EXPRESSIONS.replace('"multi\nline"', "")
    return [line for line in text.split("\n") if line] + ['"multi\nline"']


def rendered(tokenizer, template, messages, **values):
    """What transformers makes of it; none where it raises."""
    try:
        return tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, **values)
    except Exception:
        return None


def tokenizer():
    words = {"<unk>": 0, "<s>": 1, "</s>": 2}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def write(folder):
    folder.mkdir(parents=True)
    ours = tokenizer()
    tokens = {name: ours.special_tokens_map[name] for name in ("bos_token", "eos_token", "unk_token")}
    for name, source in TEMPLATES.items():
        cases = []
        for messages in CONVERSATIONS:
            for prompt in (False, True):
                text = rendered(ours, source, messages, add_generation_prompt=prompt)
                cases.append({"messages": messages, "add_generation_prompt": prompt, "text": text})
        save(folder / f"{name}.json", {"special_tokens": tokens, "source": source, "cases": cases})
    sources = ["{{ " + expression + " }}" for expression in expressions()] + statements()
    cases = [
        {"source": source, "text": rendered(ours, source, SNIPPET_MESSAGES, **SNIPPET_VALUES)}
        for source in sources
    ]
    snippets = {
        "special_tokens": tokens,
        "messages": SNIPPET_MESSAGES,
        "values": SNIPPET_VALUES,
        "cases": cases,
    }
    save(folder / "snippets.json", snippets)


def save(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=FIXTURES)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if args.check:
        with tempfile.TemporaryDirectory() as made:
            write(Path(made) / "chat_templates")
            # Only here: it needs torch.
            from compare_folders import differences

            found = differences(Path(made), args.out)
        print("\n".join(found) or "the same as the committed ones")
        return 1 if found else 0
    shutil.rmtree(args.out / "chat_templates", ignore_errors=True)
    write(args.out / "chat_templates")
    return 0


if __name__ == "__main__":
    sys.exit(main())
