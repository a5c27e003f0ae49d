% Makes a session, steers it and lists trials, from MATLAB or GNU Octave 7 and newer.
server = 'http://127.0.0.1:8000';
options = weboptions('Timeout', 10);
session = webwrite([server '/api/sessions/create?custom_code=from-matlab'], '', options);
if ischar(session), session = jsondecode(session); end   % Octave answers text
disp(session.session_code)

webwrite([server '/api/control/from-matlab/seek?position_seconds=12.5'], '', options);
position = webread([server '/api/control/from-matlab/position']);
if ischar(position), position = jsondecode(position); end
disp(position.current_packet)

answer = webread([server '/api/trials']);
if ischar(answer), answer = jsondecode(answer); end
trials = answer.trials;
reaches = [trials.reach_id];
fprintf('%d trials, %d of them to place 2\n', numel(trials), sum(reaches == 2));
